"""What commands print on standard output: JSON for machines, tables for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pipelines.outcome import Outcome


def print_json(value: object) -> None:
    """As text that people can read too."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def print_table(head: list[str], rows: list[list[str]], whole: int = 0) -> None:
    """Columns without lines; long cells are folded, except in so many columns from the left."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, box=None, header_style="bold", pad_edge=False)
    for at, column in enumerate(table.columns):
        column.overflow, column.no_wrap = "fold", at < whole
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)


def print_outcome(outcome: Outcome, as_json: bool) -> None:
    """What became of a run, as one line of JSON where that is wanted; raises what it did not end well for."""
    if as_json:
        typer.echo(json.dumps(outcome.as_json(), ensure_ascii=False))
    if outcome.error is not None:
        raise outcome.error
