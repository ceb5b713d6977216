"""The report of an augmentation: the verdict, the ways beside each other, and a chart of each class's recall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.augment_facts import NAMES, percent, points, rarest, sentence
from pipelines.pages import page
from pipelines.report import LINE_COLOURS
from pipelines.svg import TEXT_COLOUR, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHART_INCHES = (9.0, 3.4)
GROUP = 0.8  # of the room of a class, what its bars take


def augment_page(facts: Mapping[str, Any]) -> str:
    """One HTML file as text.  facts: augmentation.json."""
    classes = rarest(facts)
    chart = svg_of(lambda figure: draw_recall(figure.add_subplot(), facts, classes), CHART_INCHES, "recall",
                   "Recall of each class, by way of training, with 95 % intervals")
    return page("augment.html", facts=facts, classes=classes, chart=chart, names=NAMES, percent=percent, points=points,
                sentence=sentence(facts), colours=dict(zip(NAMES, LINE_COLOURS, strict=False)))


def draw_recall(axes: Axes, facts: Mapping[str, Any], classes: list[dict[str, Any]]) -> None:
    """A bar for each class and way, with its interval; below each class how many training examples it has."""
    ways, places = [*NAMES], np.arange(len(classes))
    width = GROUP / len(ways)
    for number, (way, colour) in enumerate(zip(ways, LINE_COLOURS, strict=False)):
        recall = [facts["ways"][way]["recall"][str(each["label"])] for each in classes]
        values = np.array([share["value"] for share in recall])
        reach = np.array([[share["value"] - share["low"] for share in recall],
                          [share["high"] - share["value"] for share in recall]])
        axes.bar(places - GROUP / 2 + (number + 0.5) * width, 100 * values, width * 0.92, color=colour,
                 yerr=100 * np.maximum(reach, 0), error_kw={"ecolor": TEXT_COLOUR, "elinewidth": 0.7})
    axes.set_xticks(places, [f"{each['name'][:12]}\n{each['train']:,}" for each in classes])
    axes.set_ylim(0, 100)
    axes.set_ylabel("recall, %")
    axes.grid(axis="y", alpha=0.2)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", length=0)
