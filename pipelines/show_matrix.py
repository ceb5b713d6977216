"""What a person sees of several runs: a table that changes on a terminal, a line an event otherwise; then the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipelines.matrix import Cell, CellResult
from pipelines.show import coloured, console


@dataclass
class Events:
    """Plain lines, for logs."""

    out: Console = field(default_factory=console)
    _one: threading.Lock = field(default_factory=threading.Lock)

    def event(self, cell: Cell, what: str) -> None:
        with self._one:
            self.out.print(f"{cell.name}: {what}", soft_wrap=True)


@dataclass
class Board:
    """A table of what each run does now."""

    cells: Sequence[Cell]
    now: dict[str, str] = field(default_factory=dict)

    def event(self, cell: Cell, what: str) -> None:
        self.now[cell.name] = what

    def __rich__(self) -> Table:
        table = Table("experiment", "now", box=None, pad_edge=False, header_style="bold")
        for cell in self.cells:
            table.add_row(cell.name, coloured(self.now.get(cell.name, "waits")))
        return table


@contextmanager
def watching(cells: Sequence[Cell]) -> Iterator[Events | Board]:
    """Shows what is told of them while the block runs."""
    out = console()
    board = Board(cells) if out.is_terminal else None
    with nullcontext() if board is None else Live(board, console=out, refresh_per_second=4, transient=True):
        yield board or Events(out)


def matrix_table(results: Sequence[CellResult]) -> None:
    """One line an experiment, and under it why those failed that did."""
    out = console()
    table = Table("experiment", "status", "seconds", "version", "metric", "value", box=None, pad_edge=False,
                  header_style="bold")
    for column in (table.columns[2], table.columns[5]):
        column.justify = "right"
    for result in results:
        metric, value = (result.metric[0], f"{result.metric[1]:.4f}") if result.metric else ("", "")
        table.add_row(result.cell.name, coloured(result.status), f"{result.seconds:.1f}", result.version, metric, value)
    out.print(table)
    for result in results:
        for line in result.error.splitlines():
            out.print(f"{result.cell.name}: {line}", soft_wrap=True)
