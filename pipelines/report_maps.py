"""The maps of a report: principal components and t-SNE of real and generated examples, drawn."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pipelines.parts import Mapped, Scatter
from pipelines.report import LINE_COLOURS
from pipelines.svg import svg_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gan_core.metrics.maps import Map

INCHES = (4.4, 3.4)
MARKS = (("o", LINE_COLOURS[0], 3.0), ("^", LINE_COLOURS[1], 3.4))  # of real and generated: shape, colour, points


def mapped(real: NDArray[Any], fake: NDArray[Any], seed: int) -> Mapped:
    """Both maps of `domain` features [n, d] and [m, d].  DataError as of `gan_core.metrics.maps.maps`."""
    from gan_core.metrics.maps import maps  # scikit-learn takes a second to import

    found = maps(real, fake, seed=seed)
    n, m = len(found.pca.real), len(found.pca.fake)
    first, second = found.explained
    along = (f"component 1, {first:.0%} of the variance", f"component 2, {second:.0%}")
    label = f"of {n} real and {m} generated examples"
    return Mapped(n, m, found.explained, (
        Scatter("Principal components", "where the two sets lie apart in the features, they lie apart here",
                svg_of(partial(_draw, points=found.pca, along=along), INCHES, "pca", f"Principal components {label}")),
        Scatter("t-SNE", "neighbours stay neighbours; distances and sizes of groups say nothing",
                svg_of(partial(_draw, points=found.tsne, along=None), INCHES, "tsne", f"A t-SNE map {label}")),
    ))


def _draw(figure: Figure, *, points: Map, along: tuple[str, str] | None) -> None:
    """along: names of the axes; None for axes that mean nothing."""
    axes = figure.add_subplot()
    for (shape, colour, size), each in zip(MARKS, (points.real, points.fake), strict=True):
        axes.plot(each[:, 0], each[:, 1], shape, color=colour, markersize=size, markeredgewidth=0)
    axes.grid(alpha=0.15, linewidth=0.6)
    if along is None:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    else:
        axes.set(xlabel=along[0], ylabel=along[1])
