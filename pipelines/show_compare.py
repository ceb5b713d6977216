"""What a person sees of a comparison on a terminal: the metrics, what is not compared and why, settings, origin."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.compare import Cell, Comparison, Metric
from pipelines.compare_words import Row, gaps, origin_rows, refusals, setting_rows
from pipelines.intervals import between
from pipelines.report_names import number
from pipelines.show import LOG_WIDTH

BEST, NONE, DIFFERS, WITHIN = "★", "—", "≠", "≈"


def show_comparison(comparison: Comparison) -> None:
    """Everything, on standard output."""
    out = _out()
    labels = [version.label for version in comparison.versions]
    out.print(_metrics(comparison.metrics, labels))
    if comparison.comparable:
        out.print(f"{BEST} best; ↑ ↓ and the difference are from {labels[0]}, green where that is better", style="dim")
    if any(cell.within for metric in comparison.metrics for cell in metric.cells):
        out.print(f"{WITHIN} within bounds: one of the two numbers lies between those of the other", style="dim")
    for line in gaps(comparison):
        out.print(f"{NONE} {line}")
    for line in refusals(comparison):
        out.print(f"not compared: {line}")
    settings = setting_rows(comparison)
    out.print()
    out.print(_facts("setting", settings, labels) if settings else "no setting differs")
    out.print()
    out.print(_facts("origin", origin_rows(comparison), labels, mark=True))


def cell_text(cell: Cell) -> str:
    """'3.5 (3.1 to 3.9) ↓ −0.4 ≈ ★': a number, its bounds, where it lies from the first version's, if it is the best.
    """
    if cell.value is None:
        return NONE
    span = between(cell.low, cell.high, number)
    parts = [number(cell.value), f"({span})" if span else ""]
    if cell.difference:
        parts.append(f"{'↑ +' if cell.difference > 0 else '↓ '}{number(cell.difference)}")
    marks = [WITHIN if cell.within else "", BEST if cell.best else ""]
    return " ".join(filter(None, [*parts, *marks]))


def _metrics(metrics: Sequence[Metric], labels: Sequence[str]) -> Table:
    table = _table("metric", "better", *labels)
    for column in table.columns[2:]:
        column.justify = "right"
    for metric in metrics:
        cells = [_styled(metric, cell) for cell in metric.cells]
        table.add_row(metric.name, metric.better or NONE, *cells)
    return table


def _styled(metric: Metric, cell: Cell) -> Text:
    if not metric.compared:
        return Text(cell_text(cell), style="dim")
    colour = "" if cell.better is None else "green" if cell.better else "red"
    return Text(cell_text(cell), style=colour)


def _facts(what: str, rows: Sequence[Row], labels: Sequence[str], *, mark: bool = False) -> Table:
    """mark: whether rows that differ are told from those that do not."""
    table = _table(what, *([""] if mark else []), *labels)
    for row in rows:
        differs = [DIFFERS if row.differs else ""] if mark else []
        table.add_row(row.name, *differs, *row.values, style="bold" if mark and row.differs else "")
    return table


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = True
    return table


def _out() -> Console:
    """Standard output as it is now; a file's lines are not folded to a terminal's width."""
    out = Console(highlight=False, markup=False)
    return out if out.is_terminal else Console(highlight=False, markup=False, width=LOG_WIDTH)
