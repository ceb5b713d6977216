"""What a person sees of a run while it goes on: a line that moves on a terminal, lines of a log otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table

from gan_core.config import Experiment
from gan_core.manifest import NOTES
from gan_core.store import Store
from pipelines import asking
from pipelines.follow import Follower, Progress, Row, Speed
from pipelines.records import read_record
from pipelines.run_log import RunLog
from pipelines.show import LOG_WIDTH, console

LINES_EVERY_S = 2.0  # of a log, while it trains
DETAIL_EVERY_S = 5.0
BAR = (8, 40)  # columns, at least and at most
GAP = 2
NAMES = {"discriminator": "D", "generator": "G"}
PLACING = "placing the workers"


@dataclass
class Shown:
    """What is known of a run now.  images: at its end."""

    images: int
    stage: str = ""
    detail: str = ""
    row: Row | None = None
    speed: float | None = None
    since: float = field(default_factory=time.monotonic)

    def fields(self) -> list[str]:
        """How far, how fast, how long still, how well; most telling first."""
        if self.row is None:
            return [self.detail, _clock(time.monotonic() - self.since)]
        position = self.row["position"]
        said = [f"{position:,.0f}/{self.images:,}"]
        if self.speed:
            said.append(f"{_number(self.speed)} images/s")
            said += [f"{_clock((self.images - position) / self.speed)} left"] if position < self.images else []
        losses = {name.removeprefix("loss/"): value for name, value in self.row.items() if name.startswith("loss/")}
        said += [f"{NAMES.get(name, name)} {value:.2f}" for name, value in losses.items()]
        return said + [f"{name} {value:.2f}" for name, value in self.row.items() if name.startswith("fd_")]


class Bar:
    """One line of a terminal, never folded: fields that do not fit are left out, the least telling first."""

    def __init__(self, shown: Shown) -> None:
        self._shown, self._spinner = shown, Spinner("dots")

    def __rich_console__(self, out: Console, options: ConsoleOptions) -> RenderResult:
        cells: list[RenderableType] = [self._spinner, self._shown.stage]
        used = 1 + GAP + len(self._shown.stage)
        least = 0 if self._shown.row is None else GAP + BAR[0]
        said: list[str] = []
        for text in filter(None, self._shown.fields()):
            if used + GAP + len(text) + least > options.max_width:
                break
            said.append(text)
            used += GAP + len(text)
        if self._shown.row is not None and used + least <= options.max_width:
            width = min(BAR[1], options.max_width - used - GAP)
            cells.append(ProgressBar(self._shown.images, self._shown.row["position"], width=width))
        cells += said
        line = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
        for _ in cells:
            line.add_column(no_wrap=True)
        line.add_row(*cells)
        yield line


@contextmanager
def following(store: Store, experiment: Experiment, record: str, beginning: str, log: RunLog) -> Iterator[None]:
    """Shows the run that is recorded at `record` while the block runs, and has what is said in the log.

    beginning: what is done before any stage.
    """
    out, images = console(), experiment.train.images
    view = _Bars(out, Shown(images, beginning)) if out.is_terminal else _Lines(out, Shown(images, beginning))
    kept = _Lines(Console(file=cast(TextIO, log), highlight=False, markup=False, width=LOG_WIDTH, color_system=None),
                  Shown(images, beginning))

    def where() -> str:
        found = read_record(store, record)
        for each in (view, kept):
            each.stage(found.running if found else "")
            if found and found.running == "prepare" and (shards := len(store.names(f"{found.prefix}/{NOTES}"))):
                each.detail(f"{shards:,} shards")
            if found and found.detail:
                each.detail(found.detail)
        return found.prefix if found and found.running == "train" else ""

    def tell(progress: Progress) -> None:
        view.progress(progress)
        kept.progress(progress)

    with view, kept, Follower(store, where, tell), log.hearing():
        yield


class View:
    """What both ways of showing a run have in common."""

    def __init__(self, out: Console, shown: Shown, clock: Callable[[], float] = time.monotonic) -> None:
        self.out, self.shown, self.clock = out, shown, clock
        self._speed, self._troubled = Speed(), frozenset[str]()

    def stage(self, name: str) -> None:
        """The stage at work now; nothing between stages."""
        if name and name != self.shown.stage:
            detail = PLACING if name == "train" else ""
            self.shown.stage, self.shown.detail, self.shown.row, self.shown.since = name, detail, None, self.clock()
            self.begin_stage()

    def detail(self, text: str) -> None:
        """How far a stage is that does not train."""
        self.shown.detail = text

    def progress(self, progress: Progress) -> None:
        """A new row; troubles that were not there at the row before are told above it."""
        self.shown.speed = self._speed.at(self.clock(), progress.position)
        self.shown.row = {**progress.compared, **progress.row}
        for trouble in progress.troubles:
            if trouble.name not in self._troubled:
                self.say(f"{progress.position:,}", f"{trouble.name}: {trouble.what}; {trouble.advice}")
        self._troubled = frozenset(trouble.name for trouble in progress.troubles)

    def begin_stage(self) -> None:
        """A stage began."""

    def say(self, position: str, text: str) -> None:
        """One remark, which stays."""
        remark = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
        remark.add_column(no_wrap=True, justify="right", min_width=11)
        remark.add_column(overflow="fold")
        remark.add_row(position, text)
        self.out.print(remark)


class _Lines(View):
    """Plain lines, for logs."""

    def __enter__(self) -> _Lines:
        self._told, self._said = float("-inf"), ""
        self.out.print(self.shown.stage)
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is left open."""

    def begin_stage(self) -> None:
        self._told, self._said = self.clock(), ""
        self.out.print(self.shown.stage)

    def say(self, position: str, text: str) -> None:
        self.out.print(f"  {position:>11}  {text}", soft_wrap=True)

    def detail(self, text: str) -> None:
        super().detail(text)
        if text != self._said and self._due(DETAIL_EVERY_S):
            self._said = text
            self.say("", text)

    def progress(self, progress: Progress) -> None:
        first = self.shown.row is None
        super().progress(progress)
        if self._due(LINES_EVERY_S) or first or progress.position >= self.shown.images:
            self._told = self.clock()
            done, *others = filter(None, self.shown.fields())
            self.out.print(f"  {done:>23}  {'  '.join(others)}".rstrip(), soft_wrap=True)

    def _due(self, every: float) -> bool:
        due = self.clock() - self._told >= every
        if due:
            self._told = self.clock()
        return due


class _Bars(View):
    """A line that moves."""

    def __enter__(self) -> _Bars:
        self._live = Live(Bar(self.shown), console=self.out, transient=True, refresh_per_second=8)
        self._live.__enter__()
        asking.moving = self._live
        self.out.show_cursor(True)  # a second Ctrl-C ends the process as it is, and would leave the cursor hidden
        return self

    def __exit__(self, *error: object) -> None:
        asking.moving = None
        self._live.__exit__(None, None, None)


def _number(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"


def _clock(seconds: float) -> str:
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
