"""Several experiments, or one for each combination of settings: all are checked before any starts, each runs in a
process of its own, and what is done already starts none.

    asked = Asked("./store")
    cells = open_all(["configs/digits.yaml"], ["seed=0,1,2", "train.batch=64,128"], asked)
    with Children() as children:
        results = Matrix(children, asked, parallel=2, view=view).run(cells)
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import yaml

from gan_core.config import key_fields, read_yaml, with_overrides
from gan_core.errors import ConfigError, GanError
from gan_core.manifest import canonical_digest
from pipelines.children import Child, Children
from pipelines.keys import STAGES
from pipelines.options import SETTINGS
from pipelines.plan import Action, Step, read_all_data
from pipelines.profile import load_profile
from pipelines.run import Opened, open_to_run
from pipelines.server import configured_server
from pipelines.turns import Turns, results_of

NAME_CHARS = 63
A_ROW = re.compile(r"\s+[\d,]+/[\d,]+")  # of a run's progress: it trains, on what was prepared
Combination = Mapping[str, Any]  # value by dotted name


@dataclass(frozen=True)
class Cell:
    """One experiment of several.

    chosen: what sets it apart.  overrides: all that is set beside its file.  steps: its plan; error: why there is none.
    """

    path: str
    chosen: Combination
    overrides: tuple[str, ...]
    name: str
    opened: Opened
    steps: tuple[Step, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class CellResult:
    """What became of one.

    status: DONE, REUSED when nothing was new, REFUSED by the gate, FAILED, STOPPED, or NOT STARTED.  published: the
    version's URL.  metric: name and value of what the gate, or else evaluation, names first.
    """

    cell: Cell
    status: str
    seconds: float = 0.0
    published: str | None = None
    metric: tuple[str, float] | None = None
    error: str = ""

    @property
    def version(self) -> str:
        """NAME@NNNN; '' where nothing was published."""
        return f"{self.cell.name}@{self.published.rpartition('/')[2]}" if self.published else ""

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        metric = {"name": self.metric[0], "value": self.metric[1]} if self.metric else None
        return {"name": self.cell.name, "experiment": self.cell.path, "settings": dict(self.cell.chosen),
                "status": self.status, "seconds": round(self.seconds, 2), "version": self.version or None,
                "published": self.published, "metric": metric, "error": self.error or None}


@dataclass(frozen=True)
class Asked:
    """What the command line says of every cell.  verify_data: each data set is read whole before it is planned with."""

    store: str
    overrides: tuple[str, ...] = ()
    profile: str | None = None
    remake: tuple[str, ...] = ()
    verify_data: bool = False
    ray_address: str | None = None

    def words(self) -> list[str]:
        """The same for a child, but for the settings."""
        given = {"--profile": self.profile, "--ray-address": self.ray_address}
        where = [word for option, value in given.items() if value for word in (option, value)]
        return ["--store", self.store, *where, *(word for stage in self.remake for word in ("--remake", stage))]


class View(Protocol):
    """Who is told how it goes; from several threads."""

    def event(self, cell: Cell, what: str) -> None:
        """`what` is a stage that began, 'started', or a status."""


def combinations(matrix: Sequence[str]) -> list[dict[str, Any]]:
    """Every combination of the values in `a.b=c,d`, each read as YAML; one that sets nothing without a matrix.

    ConfigError for what is not of that form, and for a setting that is named twice.
    """
    axes: dict[str, list[Any]] = {}
    for axis in matrix:
        name, equals, text = axis.partition("=")
        try:
            values = yaml.safe_load(f"[{text}]")
        except yaml.YAMLError:
            raise ConfigError(f"--matrix {axis}: '{text}' is no list of YAML values; put them in quotes") from None
        if not (equals and name and values):
            raise ConfigError(f"--matrix {axis}: not of the form field=value,value; for example --matrix seed=0,1,2")
        if name in axes:
            raise ConfigError(f"--matrix {axis}: {name} is named twice; write all its values after one =")
        axes[name] = values
    return [dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*axes.values())]


def open_all(paths: Sequence[str], matrix: Sequence[str], asked: Asked) -> list[Cell]:
    """Every experiment, checked.  ConfigError with a line for each mistake in any of them."""
    cells: list[Cell] = []
    mistakes: dict[str, list[str]] = {}
    verified: set[str] = set()
    for path, chosen in itertools.product(paths, combinations(matrix)):
        try:
            cells.append(_open(path, chosen, asked, verified))
        except ConfigError as error:
            for line in str(error).splitlines():
                mistakes.setdefault(line, []).append(_words(chosen))
    for name, same in itertools.groupby(sorted(cells, key=lambda cell: cell.name), key=lambda cell: cell.name):
        first, *others = same
        if others:
            mistakes[f"{_words(first.chosen, first.path)} and {_words(others[0].chosen, others[0].path)} would both be "
                     f"named {name}; set name: in each file, or leave one out"] = [""]
    if mistakes:
        raise ConfigError("\n".join(f"{line}{_where(found)}" for line, found in mistakes.items()))
    return cells


def name_of(base: str, chosen: Combination) -> str:
    """A name for a combination: 'digits' with {seed: 0, train.batch: 64} is 'digits-seed0-batch64'.

    Of a path only its last part counts.  ConfigError for one that is longer than a name may be.
    """
    name = "-".join([base, *(f"{_slug(field.rpartition('.')[2])}{_slug(_last_part(value))}"
                             for field, value in chosen.items() if field != "name")])
    if len(name) > NAME_CHARS:
        raise ConfigError(f"{name}: {len(name)} characters, and a name has at most {NAME_CHARS}; "
                          "--set name=a-shorter-one works")
    return name


@dataclass
class Matrix:
    """Runs cells, at most `parallel` at once."""

    children: Children
    asked: Asked
    parallel: int
    view: View
    _turns: Turns = field(default_factory=Turns)

    def run(self, cells: Sequence[Cell]) -> list[CellResult]:
        """Runs what is not done; what became of each, in order."""
        with ThreadPoolExecutor(self.parallel) as at_once:
            return list(at_once.map(self._result, cells))

    def _result(self, cell: Cell) -> CellResult:
        result = _with_metric(self._done(cell))
        self.view.event(cell, result.status)
        return result

    def _done(self, cell: Cell) -> CellResult:
        if cell.error:
            return CellResult(cell, "FAILED", error=cell.error)
        if all(step.action is Action.REUSE for step in cell.steps):
            return CellResult(cell, "REUSED", published=cell.opened.store.uri(cell.steps[-1].prefix))
        results = results_of(cell.steps)
        with self._turns.taken(results.values()):
            return CellResult(cell, "NOT STARTED") if self.children.signal else self._run(cell, results)

    def _run(self, cell: Cell, results: Mapping[str, str]) -> CellResult:
        """`gan run` of one, in a process of its own."""
        began = time.monotonic()
        self.view.event(cell, "started")
        settings = [word for override in cell.overrides for word in ("--set", override)]
        command = [sys.executable, "-m", "pipelines.cli", "run", cell.path, *settings, *self.asked.words(), "--json"]

        def heard(line: str) -> None:
            if line in STAGES:
                self.view.event(cell, line)
            finished = STAGES[: STAGES.index(line)] if line in STAGES[2:] else STAGES[:1] if A_ROW.match(line) else ()
            self._turns.made([results[stage] for stage in finished if stage in results])

        with _environment(self.parallel) as environment:
            child = self.children.run(command, heard, environment)
        status = {0: "DONE", 3: "REFUSED"}.get(child.status, "STOPPED" if self.children.signal else "FAILED")
        return CellResult(cell, status, time.monotonic() - began, _published(child),
                          error="" if status == "DONE" else child.error)


def exit_code(results: Sequence[CellResult], signal: int) -> int:
    """1 when one failed; then that of the signal that stopped them; 3 when gates refused; else 0."""
    statuses = {result.status for result in results}
    if "FAILED" in statuses:
        return 1
    return 128 + signal if signal else 3 if "REFUSED" in statuses else 0


def _open(path: str, chosen: Combination, asked: Asked, verified: set[str]) -> Cell:
    """One cell, planned.  verified: data sets that were read whole before this one; is added to."""
    here = [*asked.overrides, *(f"{name}={json.dumps(value, default=str)}" for name, value in chosen.items())]
    base = str(with_overrides(read_yaml(path), here).get("name", ""))
    name = name_of(base, chosen) if chosen else base
    here += [f"name={json.dumps(name)}"] if chosen else []
    opened = open_to_run(path, asked.store, here, load_profile(asked.profile, asked.ray_address), asked.remake)
    cell = Cell(path, chosen, tuple(here), name, opened)
    data = canonical_digest(key_fields(opened.experiment.data))
    try:
        if asked.verify_data and data not in verified:
            read_all_data(opened.store, opened.experiment)
            verified.add(data)
        return replace(cell, steps=tuple(opened.planner.plan()))
    except ConfigError:
        raise
    except GanError as error:  # of this experiment's data; the others can still run
        return replace(cell, error=str(error))


@contextmanager
def _environment(parallel: int) -> Iterator[dict[str, str]]:
    """A child's.  Temporary Prefect servers beside each other cannot share one SQLite file."""
    inherited = {name: value for name, value in os.environ.items() if name != SETTINGS}  # it is in each cell already
    if parallel == 1 or configured_server() is not None:
        yield inherited
        return
    with tempfile.TemporaryDirectory(prefix="gan-prefect-", ignore_cleanup_errors=True) as home:
        yield {**inherited, "PREFECT_HOME": home}


def _published(child: Child) -> str | None:
    try:
        found = json.loads(child.out)["published"]
    except (ValueError, KeyError):
        return None
    return None if found is None else str(found)


def _with_metric(result: CellResult) -> CellResult:
    """The result with its headline metric, where it has one."""
    if result.published is None:
        return result
    opened = result.cell.opened
    prefix = result.published.removeprefix(f"{opened.store.url}/")
    metrics = json.loads(opened.store.read(f"{prefix}/metrics.json"))
    name = next((name for name in (*opened.experiment.publish.gate, *metrics) if name in metrics), None)
    return replace(result, metric=(name, metrics[name]["value"]) if name else None)


def _words(chosen: Combination, *before: str) -> str:
    return " ".join([*before, *(f"{name}={value}" for name, value in chosen.items())])


def _where(found: Sequence[str]) -> str:
    """Which combinations a mistake is in, after its line."""
    first, *others = found
    more = f", and {len(others)} more" if others else ""
    return f" (with {first}{more})" if first else ""


def _last_part(value: Any) -> str:
    text = json.dumps(value, default=str) if not isinstance(value, str) else value
    return text.rstrip("/").rpartition("/")[2]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")

