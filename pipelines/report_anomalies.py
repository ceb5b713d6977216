"""What a report shows of anomalies: where images differ from what they are rebuilt as, and how scores are spread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gan_core.detecting import Detected, Row
from gan_core.pictures import heat, png
from gan_core.tables import below_each_other, table
from pipelines.parts import Anomalies, Scatter
from pipelines.report import LINE_COLOURS
from pipelines.svg import svg_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES = (4.4, 2.8)
BINS = 40
RED = 0.995  # quantile of all differences shown, from which on a pixel is red altogether
KINDS = {True: "abnormal", False: "normal"}


def anomalies(found: Detected) -> Anomalies:
    """Heat maps and the histogram of scores."""
    abnormal = found.scored.abnormal
    assert abnormal is not None, "found where it is known what is normal"
    n, m = int((~abnormal).sum()), int(abnormal.sum())
    drawn = svg_of(partial(_draw, found=found), INCHES, "anomalies",
                   f"Histogram of the anomaly scores of {n} normal and {m} abnormal images")
    return Anomalies(n, m, Scatter("Scores", "share of each kind; dashed: the threshold", drawn), heat_maps(found.rows))


def heat_maps(rows: Sequence[Row]) -> bytes:
    """PNG: for each row of images, the images, what they are rebuilt as, and where the two differ, in red."""
    apart = np.concatenate([np.abs(row.images.astype(np.int16) - row.rebuilt).mean(axis=1).ravel() for row in rows])
    most = float(np.quantile(apart, RED))
    return png(below_each_other([_sheet(row, most) for row in rows if len(row.images)]))


def _sheet(row: Row, most: float) -> Image.Image:
    maps = np.stack([heat(image, rebuilt, most) for image, rebuilt in zip(row.images, row.rebuilt, strict=True)])
    cells = np.stack([_in_colour(row.images), _in_colour(row.rebuilt), maps])
    kinds = [""] * len(row.score) if row.abnormal is None else [KINDS[bool(one)] for one in row.abnormal]
    scores = [["" for _ in row.score], ["" for _ in row.score], [f"{score:.3g}" for score in row.score]]
    return table(cells, ["image", "rebuilt", "difference"], kinds, row.name, scores)


def _in_colour(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[n, C, H, W] to [n, 3, H, W]; alpha is left out."""
    return np.repeat(images[:, :1], 3, axis=1) if images.shape[1] < 3 else images[:, :3]


def _draw(figure: Figure, *, found: Detected) -> None:
    score, abnormal = found.scored.score, found.scored.abnormal
    assert abnormal is not None
    axes = figure.add_subplot()
    low, high = np.quantile(score, [0, 0.995])  # a few far away would press the others together
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    for kind, colour in ((False, LINE_COLOURS[0]), (True, LINE_COLOURS[1])):
        those = np.clip(score[abnormal == kind], edges[0], edges[-1])
        axes.hist(those, edges.tolist(), weights=np.full(len(those), 1 / len(those)), color=colour, alpha=0.6)
    if found.threshold is not None:
        axes.axvline(found.threshold, color=LINE_COLOURS[6], linewidth=1, linestyle="--")
    axes.set(xlabel="anomaly score", ylabel="share of its kind")
    axes.grid(alpha=0.15, linewidth=0.6)
