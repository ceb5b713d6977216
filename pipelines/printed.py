"""What commands print on standard output: JSON for machines, tables for people."""

from __future__ import annotations

import json

import typer


def print_json(value: object) -> None:
    """As text that people can read too."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def print_table(head: list[str], rows: list[list[str]]) -> None:
    """Columns without lines; long cells are folded."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, box=None, header_style="bold", pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)
