"""The section of a version's report that says how it stands against others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gan_core.addresses import CHAMPION
from pipelines.compare import Cell, Comparison, Metric
from pipelines.compare_words import setting_rows
from pipelines.intervals import between
from pipelines.pages import page
from pipelines.report_names import number
from pipelines.standing import Other, Standing, reasons

FEW_SETTINGS = 8  # that are not folded away


@dataclass(frozen=True)
class Shown:
    """A cell of the table.  moved: '▲ +0.0210', of the new version's number from this one, or '='.  why: in place of
    a number, or of a difference.  better: None where that is not said.
    """

    value: str = ""
    bounds: str = ""
    moved: str = ""
    better: bool | None = None
    within: bool = False
    why: str = ""


def section(standing: Standing) -> str:
    """HTML that stands in the report in place of its marker."""
    columns = [(other, other.comparison) for other in standing.others if other.comparison]
    compared = [(other, comparison) for other, comparison in columns if comparison.comparable]
    first = next(iter(columns), None)
    return page(
        "standing.html",
        standing=standing,
        sentences=[*_sentences(standing), *(_summary(other, comparison) for other, comparison in compared)],
        refused=[(other, _refusals(comparison)) for other, comparison in columns if not comparison.comparable],
        heads=["this version", *(other.title for other, _ in compared)],
        rows=list(_rows([comparison for _, comparison in compared])),
        settings_of=first[0].title if first else "",
        settings=setting_rows(first[1]) if first else [],
        few=FEW_SETTINGS,
    )


def _sentences(standing: Standing) -> Iterator[str]:
    """What stands before any number: that there is nothing to compare with, or that it could not be read."""
    if not standing.others:
        yield ("The first version of this model." if int(standing.number) == 1
               else "No earlier version of this model is whole.")
    elif not any(CHAMPION in other.roles for other in standing.others):
        yield "No version of this model is champion yet."
    for other in standing.others:
        if other.unread and other.number:
            yield f"Version {other.number}, {' and '.join(other.roles)}, could not be read: {other.unread}."
        elif other.unread:
            yield f"Which version is {CHAMPION} could not be read: {other.unread}."


def _summary(other: Other, comparison: Comparison) -> str:
    """'Against champion 0002: 5 better, 3 worse, 1 equal, 1 not compared; 4 differences lie within an interval.'"""
    cells = [metric.cells[1] for metric in comparison.metrics if metric.compared]
    moved = [cell for cell in cells if cell.difference]
    counts = {
        "better": sum(cell.better is True for cell in moved),
        "worse": sum(cell.better is False for cell in moved),
        "neither": sum(cell.better is None for cell in moved),
        "equal": len(cells) - len(moved),
        "not compared": len(comparison.metrics) - len(cells),
    }
    within = sum(cell.within for cell in cells)
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"Against {other.title}: {told}" + (f"; differences within an interval: {within}." if within else ".")


def _refusals(comparison: Comparison) -> str:
    """Why no number is compared: the reasons that all metrics share, then what else there is, with its metrics."""
    whys = {metric.name: reasons(metric) for metric in comparison.metrics if metric.refused}
    shared = [why for why in next(iter(whys.values()), []) if all(why in other for other in whys.values())]
    names: dict[str, list[str]] = {}
    for name, why in whys.items():
        if rest := ", ".join(one for one in why if one not in shared):
            names.setdefault(rest, []).append(name)
    also = [f"{', '.join(of)}: {'also ' if shared else ''}{rest}" for rest, of in names.items()]
    return "; ".join([*([", ".join(shared)] if shared else []), *also]) or "they have no metric in common"


def _rows(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, list[Shown]]]:
    """A row for each metric of any version: its name, then a cell for the new version and for each other."""
    columns = [{metric.name: metric for metric in comparison.metrics} for comparison in comparisons]
    for name in dict.fromkeys(name for column in columns for name in column):
        metrics = [column.get(name) for column in columns]
        ours = next(metric.cells[1] for metric in metrics if metric)
        yield name, [_number(ours), *map(_other, metrics)]


def _number(cell: Cell) -> Shown:
    if cell.value is None:
        return Shown(why=f"— {cell.why}")
    return Shown(number(cell.value), between(cell.low, cell.high, number))


def _other(metric: Metric | None) -> Shown:
    if metric is None:
        return Shown(why="—")
    theirs, ours = metric.cells
    if metric.refused:
        return Shown(why=f"not compared: {', '.join(reasons(metric))}")
    shown = _number(theirs)
    if ours.difference is None:
        return shown
    arrow = "▲ +" if ours.difference > 0 else "▼ "
    moved = f"{arrow}{number(ours.difference)}" if ours.difference else "="
    return Shown(shown.value, shown.bounds, moved, ours.better, ours.within)
