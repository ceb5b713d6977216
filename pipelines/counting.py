"""How far a command is with things that can be counted: a bar on a terminal, a line every few seconds otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from gan_core.data.write import Progress
from pipelines.show import console

LINES_EVERY_S = 5.0


@contextmanager
def counting(doing: str, things: str) -> Iterator[Progress]:
    """What shows how many things are done while the block runs."""
    out = console()
    if not out.is_terminal:
        yield _Lines(things)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn(), TextColumn("{task.fields[bad]}"))
    with Bars(*columns, console=out, transient=True) as bars:
        bar = bars.add_task(doing, total=None, bad="")

        def tell(done: int, total: int | None, bad: int) -> None:
            bars.update(bar, completed=done, total=total, bad=f"{bad:,} unusable" if bad else "")

        yield tell


class _Lines:
    """Plain lines, for logs."""

    def __init__(self, things: str) -> None:
        self._things, self._told = things, time.monotonic()

    def __call__(self, done: int, total: int | None, bad: int) -> None:
        if time.monotonic() - self._told >= LINES_EVERY_S or done == total:
            self._told = time.monotonic()
            of = f" / {total:,}" if total is not None else ""
            console().print(f"  {done:>11,}{of} {self._things}" + (f", {bad:,} unusable" if bad else ""))
