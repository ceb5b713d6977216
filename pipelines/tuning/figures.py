"""The figures of a search's report, as SVG: trials by number, over images, by one setting, by all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pipelines.report import LINE_COLOURS
from pipelines.svg import svg_of
from pipelines.tuning.axes import UNSET, Axis
from pipelines.tuning.leaderboard import Row, Status
from pipelines.tuning.records import Look
from pipelines.tuning.words import setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure

OTHER, BEST = LINE_COLOURS[:2]
STYLES: Mapping[Status, Mapping[str, Any]] = {  # of a mark; the later are drawn above, failed trials nowhere
    "stopped": {"marker": "o", "facecolors": "none", "edgecolors": OTHER, "alpha": 0.45},
    "running": {"marker": "s", "facecolors": "none", "edgecolors": OTHER, "alpha": 0.8},
    "finished": {"marker": "o", "color": OTHER, "alpha": 0.85},
}
WIDE = 8  # highest value beside lowest, from which a logarithmic scale is worth it
DECADES = 30  # highest beside lowest, from which powers of ten alone are written at an axis
FAINT = {"stopped": 0.22, "failed": 0.22, "running": 0.5, "finished": 0.7}  # lines over images
WIDE_FIGURE, SMALL_FIGURE = (4.8, 2.9), (3.6, 2.1)  # inches
AXIS_INCHES, NAME_CHARACTERS, TICK_CHARACTERS = 0.56, 60, 14


def history(rows: Sequence[Row], best: Sequence[tuple[int, float]], objective: str) -> Markup:
    """The objective of each trial by its number, and the best of the finished ones so far.  best: (number, value)."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _marks(axes, rows, lambda row: float(row.number))
        axes.step(*zip(*best, strict=True), where="post", color=BEST, linewidth=1.8) if best else None
        axes.set_xlabel("trial")
        _whole(axes)
        _scale(axes, (row.value for row in rows), objective)

    return svg_of(draw, WIDE_FIGURE, "history", f"{objective} of {len(rows)} trials by number")


def learning_curves(rows: Sequence[Row], curves: Mapping[int, Sequence[Look]], objective: str) -> Markup:
    """The objective over images seen, a line a trial; the best one stands out, those stopped are faint."""
    lines = [(row, [(look.position, look.value) for look in curves.get(row.number, ()) if look.value is not None])
             for row in reversed(rows)]

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import EngFormatter, MaxNLocator

        axes = figure.add_subplot()
        for row, line in lines:
            best = row.rank == 1
            style: dict[str, Any] = {"color": BEST, "linewidth": 2.0, "zorder": 3} if best else {
                "color": OTHER, "linewidth": 1.0, "alpha": FAINT[row.status]}
            if line:
                size = 3.0 if best or len(line) == 1 else 1.5
                axes.plot(*zip(*line, strict=True), marker="o", markersize=size, **style)
        axes.set_xlabel("images seen")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        _scale(axes, (value for _, line in lines for _, value in line), objective)

    return svg_of(draw, WIDE_FIGURE, "learning-curves", f"{objective} over images seen, of {len(rows)} trials")


def slice_of(axis: Axis, rows: Sequence[Row], objective: str) -> Markup:
    """The objective of the trials by one setting; those without it are left out."""
    there = [row for row in rows if axis.name in row.params]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        if axis.choices:
            _marks(axes, there, lambda row: axis.place(row.params[axis.name]) + _beside(row, len(axis.choices)))
            _choices(axes, axis)
        else:
            _marks(axes, there, lambda row: float(row.params[axis.name]))
            _numbers(axes, axis)
        _scale(axes, (row.value for row in there), "")

    return svg_of(draw, SMALL_FIGURE, f"slice-{axis.name}", f"{objective} of {len(there)} trials by {axis.name}")


def parallel(axes_: Sequence[Axis], rows: Sequence[Row], objective: Axis, names: Mapping[str, str]) -> Markup:
    """One line a trial from the objective at the top through its settings; the better its rank, the stronger.

    names: what stands above each axis.  A setting that a trial does not have lies beyond the right end of its axis.
    """
    every = [objective, *axes_]
    unset = {axis.name for axis in axes_ if any(axis.name not in row.params for row in rows)}

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.set_xlim(-0.04, 1.18 if unset else 1.04)
        axes.set_ylim(len(every) - 0.3, -0.5)
        for y, axis in enumerate(every):
            _level(axes, axis, y, names.get(axis.name, axis.name), axis.name in unset)
        for n, row in reversed(list(enumerate(rows))):
            values = {objective.name: row.value, **row.params}
            places = [axis.place(values[axis.name]) if axis.name in values else 1.12 for axis in every]
            best = row.rank == 1
            strength = min(0.1, 4 / len(rows)) + 0.75 * (1 - n / len(rows)) ** max(2, len(rows) / 20)
            axes.plot(places, range(len(every)), color=BEST if best else OTHER, alpha=1.0 if best else strength,
                      linewidth=2.2 if best else 1.0, zorder=3 if best else 2)

    size = (WIDE_FIGURE[0], 0.3 + AXIS_INCHES * len(every))
    return svg_of(draw, size, "parallel", f"{objective.name} and settings of {len(rows)} trials, a line each")


def taken_over(axis: Axis, steps: Mapping[int, Sequence[tuple[int, Any]]], best: int) -> Markup:
    """How a setting went over images in population-based training.  steps: trial to (from which position, value)."""

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import EngFormatter, MaxNLocator

        axes = figure.add_subplot()
        for number, line in sorted(steps.items(), key=lambda item: item[0] == best):
            positions, values = zip(*line, strict=True)
            heights = [axis.place(value) if axis.choices else value for value in values]
            mine = number == best
            axes.step(positions, heights, where="post", color=BEST if mine else OTHER, alpha=1.0 if mine else 0.45,
                      linewidth=2.0 if mine else 1.0)
        axes.set_xlabel("images seen")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.grid(alpha=0.15, linewidth=0.6)
        if axis.choices:
            axes.set_yticks(*zip(*((place, _cut(text)) for place, text in axis.ticks()), strict=True))
            axes.set_ylim(0, 1)
        elif axis.logarithmic:
            axes.set_yscale("log")
            _orders(axes.yaxis, few=axis.high > DECADES * axis.low)

    label = f"{axis.name} over images seen, of {len(steps)} trials"
    return svg_of(draw, SMALL_FIGURE, f"taken-over-{axis.name}", label)


def far_apart(values: Iterable[float | None]) -> bool:
    """Whether a logarithmic scale is worth it: all positive, and the highest many times the lowest."""
    known = [value for value in values if value is not None]
    return bool(known) and min(known) > 0 and max(known) > WIDE * min(known)


def _marks(axes: Axes, rows: Sequence[Row], across: Callable[[Row], float]) -> None:
    """A mark for each trial that has a value, the best one above all others."""
    known = [(row, row.value) for row in rows if row.value is not None]
    for status, style in STYLES.items():
        found = [(across(row), value) for row, value in known if row.status == status and row.rank > 1]
        axes.scatter([x for x, _ in found], [y for _, y in found], s=16, linewidths=1.1, clip_on=False, **style)
    best = [(across(row), value) for row, value in known if row.rank == 1]
    axes.scatter([x for x, _ in best], [y for _, y in best], s=42, marker="D", color=BEST, zorder=4,
                 clip_on=False)


def _scale(axes: Axes, values: Iterable[float | None], label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.grid(alpha=0.15, linewidth=0.6)
    axes.set_ylabel(_cut(label, 36))
    if far_apart(values):
        axes.set_yscale("log")
        _orders(axes.yaxis)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))


def _orders(side: XAxis | YAxis, few: bool = False) -> None:
    """Plain numbers on a logarithmic scale, at each power of ten and, unless they are to be few, between."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    side.set_major_locator(LogLocator(subs=(1,) if few else (1, 2, 5), numticks=8))
    side.set_major_formatter(FuncFormatter(lambda value, _: setting(value)))
    side.set_minor_locator(NullLocator())


def _whole(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _numbers(axes: Axes, axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    if axis.low < axis.high:
        axes.set_xlim(axis.low, axis.high)
    if axis.logarithmic:
        axes.set_xscale("log")
        _orders(axes.xaxis, few=axis.high > DECADES * axis.low)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=isinstance(axis.low, int) and isinstance(axis.high, int)))


def _choices(axes: Axes, axis: Axis) -> None:
    places, texts = zip(*axis.ticks(), strict=True)
    crowded = sum(len(_cut(text)) for text in texts) > 30
    axes.set_xticks(places, [_cut(text) for text in texts], rotation=30 if crowded else 0,
                    ha="right" if crowded else "center")
    axes.set_xlim(0, 1)


def _beside(row: Row, choices: int) -> float:
    """Moves a mark a little, so that those of one choice do not cover each other; always the same way."""
    return ((row.number * 0.618) % 1 - 0.5) * 0.5 / choices


def _level(axes: Axes, axis: Axis, y: int, name: str, unset: bool) -> None:
    """One axis of the parallel coordinates, its name above it."""
    from matplotlib import rcParams

    axes.plot((0, 1), (y, y), color=rcParams["text.color"], alpha=0.35, linewidth=1.0, zorder=1)
    axes.text(0, y - 0.28, _cut(name, NAME_CHARACTERS), fontweight="bold", fontsize=8, zorder=5)
    ticks = [*axis.ticks(), *([(1.12, UNSET)] if unset else [])]
    for place, text in ticks:
        side = "left" if place == 0 else "right" if place == 1 else "center"
        axes.plot((place, place), (y - 0.05, y + 0.05), color=rcParams["text.color"], alpha=0.6, linewidth=1.0)
        axes.text(place, y + 0.1, _cut(text), fontsize=7, ha=side, va="top", zorder=5)


def _cut(text: str, most: int = TICK_CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[:most - 1]}…"
