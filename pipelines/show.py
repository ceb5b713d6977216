"""What a person sees of a plan and a run: tables, a progress bar on a terminal, plain lines otherwise.

All on standard error; standard output is for JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gan_core.config import Experiment
from gan_core.manifest import NOTES
from gan_core.store import Store
from pipelines.follow import Follower, Row
from pipelines.models import judge
from pipelines.plan import Step
from pipelines.records import read_record

if TYPE_CHECKING:
    from pipelines.run import Outcome

COLOURS = {"RUN": "green", "REUSED": "cyan", "REUSE": "cyan", "RESUMED": "yellow", "RESUME": "yellow",
           "DEPENDS": "magenta", "FAILED": "red"}
MADE = {
    "prepare": "shards",
    "train": "generator.safetensors",
    "evaluate": "metrics.json, samples.png, report.html",
    "publish": "the bundle",
}


LOG_WIDTH = 200
SHARDS_EVERY_S = 5.0  # between lines of a log


def console() -> Console:
    """Standard error as it is now; lines of a log are not folded to a terminal's width."""
    out = Console(stderr=True, highlight=False, markup=False)
    return out if out.is_terminal else Console(stderr=True, highlight=False, markup=False, width=LOG_WIDTH)


def plan_table(steps: list[Step]) -> None:
    """One line a stage: what a run would do, and why."""
    table = Table("stage", "action", "reason", box=None, pad_edge=False, header_style="bold")
    for step in steps:
        table.add_row(step.stage, _coloured(str(step.action)), step.reason)
    console().print(table)


def result_table(store: Store, experiment: Experiment, outcome: Outcome) -> None:
    """What each stage did, then the metrics against the gate, then where to look."""
    out = console()
    table = Table("stage", "status", "seconds", "made", box=None, pad_edge=False, header_style="bold")
    table.columns[2].justify = "right"
    for result in outcome.results:
        made = "" if result.status == "FAILED" else f"{MADE[result.name]}: {result.uri}"
        table.add_row(result.name, _coloured(result.status), f"{result.seconds:.1f}", made)
    out.print(table)
    if outcome.published is None:
        return
    prefix = outcome.published.removeprefix(f"{store.url}/")
    metrics = json.loads(store.read(f"{prefix}/metrics.json"))
    measured = next(iter(metrics.values()))
    out.print()
    out.print(_metrics_table(experiment, metrics))
    out.print(f"{measured['split']} split, {measured['n_real']} real and {measured['n_fake']} generated images")
    out.print()
    for what, file in (("sample grid", "samples.png"), ("report", "report.html"), ("bundle", "")):
        out.print(f"{what:<12} {_place(store, prefix, file)}")


def _metrics_table(experiment: Experiment, metrics: dict[str, dict[str, object]]) -> Table:
    table = Table("metric", "value", "gate", box=None, pad_edge=False, header_style="bold")
    table.columns[1].justify = "right"
    for name, measured in metrics.items():
        bound = experiment.publish.gate.get(name)
        gate = "" if bound is None else " ".join(
            f"{side.replace('_', ' ')} {limit:g}" for side, limit in bound.model_dump(exclude_none=True).items()
        ) + (" ✗" if judge(metrics, {name: bound}) else " ✓")
        table.add_row(name, f"{measured['value']:.4f}", gate)
    return table


def _place(store: Store, prefix: str, file: str) -> str:
    path = f"{prefix}/{file}".rstrip("/")
    return str(store.local_path(path)) if store.is_local else store.uri(path)


@contextmanager
def following(store: Store, experiment: Experiment, record: str) -> Iterator[None]:
    """Shows the run that is recorded at `record` while the block runs."""
    out = console()
    view = _Bars(out, experiment) if out.is_terminal else _Lines(out, experiment)

    def where() -> str:
        found = read_record(store, record)
        view.stage(found.running if found else "")
        if found and found.running == "prepare" and (shards := len(store.names(f"{found.prefix}/{NOTES}"))):
            view.shards(shards)
        return found.prefix if found and found.running == "train" else ""

    with view, Follower(store, where, view.row):
        yield


class _Lines:
    """Plain lines, for logs."""

    def __init__(self, out: Console, experiment: Experiment) -> None:
        self._out, self._images, self._stage = out, experiment.train.images, ""
        self._told = time.monotonic()

    def __enter__(self) -> _Lines:
        self._out.print("starting Prefect and Ray")
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is left open."""

    def stage(self, name: str) -> None:
        if name and name != self._stage:
            self._stage = name
            self._out.print(name)

    def shards(self, count: int) -> None:
        if time.monotonic() - self._told > SHARDS_EVERY_S:
            self._told = time.monotonic()
            self._out.print(f"  {count:>11,} shards")

    def row(self, row: Row) -> None:
        self._out.print(f"  {row['position']:>11,.0f} / {self._images:,} images  {_losses(row)}")


class _Bars:
    """A spinner that names the stage, and a bar while it trains."""

    def __init__(self, out: Console, experiment: Experiment) -> None:
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description:<24}"), BarColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[detail]}"), console=out, transient=True,
        )
        self._bar = self._progress.add_task("starting Prefect and Ray", total=None, detail="")
        self._images, self._stage = experiment.train.images, ""

    def __enter__(self) -> _Bars:
        self._progress.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.__exit__(None, None, None)

    def stage(self, name: str) -> None:
        if name and name != self._stage:
            self._stage = name
            self._progress.reset(self._bar, description=name, total=self._images if name == "train" else None,
                                 detail="placing the workers" if name == "train" else "")

    def shards(self, count: int) -> None:
        self._progress.update(self._bar, detail=f"{count:,} shards")

    def row(self, row: Row) -> None:
        self._progress.update(self._bar, completed=row["position"], detail=_losses(row))


def _losses(row: Row) -> str:
    return "  ".join(f"{name.removeprefix('loss/')} {value:.3f}" for name, value in row.items()
                     if name.startswith("loss/"))


def _coloured(word: str) -> Text:
    return Text(word, style=COLOURS.get(word, ""))
