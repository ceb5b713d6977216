"""The classes of a report: measured one by one, and as the rows of its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.parts import FIGURES, LOW_IS_GOOD, OfClass

MOST_CLASSES = 40  # that are all shown; of more only the worst
WORST_SHOWN = 20
HARDLY = 1e-9  # by which figures differ that were taken for equal

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Cell:
    """A figure of a class.  worst: no class has a worse one, and not all have it."""

    name: str
    text: str
    worst: bool


def classes_of(
    real: NDArray[Any], real_labels: Labels, fake: NDArray[Any], requested: Labels, read: Labels | None,
    names: Sequence[str], k: int,
) -> tuple[OfClass, ...]:
    """Every class, from `domain` features [n, d] and [m, d].

    read: [m], the classes that a classifier sees in the generated images, where there is one.  names: of the classes,
    where they are known; k: neighbours.  DataError when features and labels do not pair up.
    """
    from gan_core.metrics.per_class import per_class  # SciPy takes most of a second

    found = []
    for each in per_class(real, real_labels, fake, requested, k=k):
        figures: dict[str, float] = {}
        if each.fd is not None and each.near is not None:
            near = each.near
            figures = {"fd": each.fd, "precision": near.precision, "recall": near.recall, "density": near.density,
                       "coverage": near.coverage}
        if read is not None and each.n_fake:
            figures["read as asked"] = float((read[requested == each.label] == each.label).mean())
        found.append(OfClass(class_name(names, each.label), each.n_real, each.n_fake, figures, each.reason or ""))
    return tuple(found)


def class_name(names: Sequence[str], label: int) -> str:
    """What the data set calls a class, or its number."""
    return names[label] if label < len(names) else f"class {label}"


def shown(classes: Sequence[OfClass]) -> Sequence[OfClass]:
    """All classes in their order, or of more than 40 the 20 of the highest Fréchet distance, the worst first."""
    if len(classes) <= MOST_CLASSES:
        return classes
    return sorted(classes, key=lambda each: -each.figures.get("fd", -np.inf))[:WORST_SHOWN]


def cells(classes: Sequence[OfClass], text: Callable[[float], str]) -> list[tuple[OfClass, list[Cell]]]:
    """The figures of each class, written by `text`, those that are the worst of all classes marked."""
    worst = {name: _worst(classes, name) for name in FIGURES}
    return [(each, [Cell(name, text(each.figures[name]), each.figures[name] == worst[name])
                    for name in FIGURES if name in each.figures])
            for each in classes]


def _worst(classes: Sequence[OfClass], name: str) -> float | None:
    values = [each.figures[name] for each in classes if name in each.figures]
    if not values or max(values) - min(values) < HARDLY:
        return None
    return max(values) if name in LOW_IS_GOOD else min(values)
