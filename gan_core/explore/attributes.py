"""What a generator can be asked for, swept; or, of one that is asked for nothing, directions that a class lies in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL.Image import Image

from gan_core.explore.picture import MOST_ROWS, Extent, LeftOut, Picture, spread, steps, told
from gan_core.explore.space import Space
from gan_core.latent import Array, ClassDirection, class_directions, whitened
from gan_core.metrics.agreement import Classify
from gan_core.options.conditions import Attribute
from gan_core.pictures import png
from gan_core.tables import below_each_other, drawable, table

SWEPT = 3  # images whose attributes are swept
MOST_VALUES = 16  # of a categorical attribute that are shown
FARTHEST = 3.0  # that images are moved along a class's direction, in standard deviations of N(0, 1)
MOVED = 64  # images that are read again after they were moved


@dataclass(frozen=True)
class Reading:
    """A classifier of real images, and the names of its classes."""

    classify: Classify
    names: Sequence[str]


def attributes(space: Space, extent: Extent, reading: Callable[[], Reading | LeftOut]) -> Picture | LeftOut:
    """Attributes swept, or the directions of classes.

    reading: is called for a generator that is asked for nothing; what it leaves out is left out here.
    """
    if space.generator.attributes:
        return _swept(space, extent)
    if space.generator.classes:
        return LeftOut("attributes", "its images are asked for by label, which classes.png shows")
    found = reading()
    return found if isinstance(found, LeftOut) else _along(space, extent, found)


def _swept(space: Space, extent: Extent) -> Picture:
    """Each attribute from its lowest value to its highest, all else of an image as it was; a table for each."""
    known = space.generator.attributes
    swept = {attribute.name: _values(attribute, extent.columns) for attribute in known}
    tables = [_sweep(space, number, swept[attribute.name]) for number, attribute in enumerate(known)]
    facts = {"shows": "one attribute of an image swept, a table for each attribute, an image a row", "columns": swept,
             "rows": list(range(SWEPT)), **told(space, space.asked(SWEPT))}
    return Picture("attributes", {"attributes.png": png(below_each_other(tables))}, facts)


def _sweep(space: Space, number: int, values: list[float]) -> Image:
    """One attribute's table; number: its column."""
    ((name, asked),) = space.asked(SWEPT).items()
    rows = np.repeat(asked, len(values), axis=0)
    rows[:, number] = np.tile(values, SWEPT)
    images = space.images(np.repeat(space.draw(SWEPT), len(values), axis=0), {name: rows})
    title = space.generator.attributes[number].name
    return table(images.reshape(SWEPT, len(values), *images.shape[1:]),
                 [f"z {row}" for row in range(SWEPT)], [f"{value:.3g}" for value in values],
                 title if drawable(title) else f"attribute {number}")


def _values(attribute: Attribute, columns: int) -> list[float]:
    match attribute.kind:
        case "binary":
            return [0.0, 1.0]
        case "categorical":
            return [float(value) for value in spread(attribute.values, MOST_VALUES)]
    return [float(value) for value in np.linspace(attribute.low, attribute.high, columns)]


def _along(space: Space, extent: Extent, reading: Reading) -> Picture | LeftOut:
    """Image 0 of the seed moved along the direction of each class that the classifier reads in the generator's images.

    A direction is the gradient of a linear regression of 'is read as this class' on z.
    """
    count = extent.draws(space.size)
    z = whitened(space.draw(count))
    read = reading.classify(space.images(z, {}))
    found = class_directions(z, read, len(reading.names))
    if not found:
        return LeftOut("attributes", f"all of {count:,} images are read as {reading.names[int(read[0])]}; "
                                     "a generator of more than one class has directions")
    labels = [list(found)[place] for place in spread(len(found), MOST_ROWS)]
    names = [reading.names[label] for label in labels]
    along = np.linspace(-FARTHEST, FARTHEST, extent.columns)
    z = space.draw(1) + along[None, :, None] * np.stack([found[label].direction for label in labels])[:, None, :]
    images = space.images(z.reshape(-1, space.size), {})
    sheet = table(images.reshape(len(labels), extent.columns, *images.shape[1:]),
                  [name if drawable(name) else f"class {label}" for label, name in zip(labels, names, strict=True)],
                  steps(along), "Along the direction of each class, from the image in the middle")
    facts = {"shows": "image 0 of the seed, moved along the direction in which images are read as a class, a row each",
             "read_by": "an SVC fitted to training images", "samples": count, "columns": along.tolist(),
             "rows": [{"class": label, "name": name} | _measured(space, found[label], label, reading)
                      for label, name in zip(labels, names, strict=True)],
             "without_direction": [name for label, name in enumerate(reading.names) if label not in found]}
    return Picture("attributes", {"attributes.png": png(sheet)}, facts)


def _measured(space: Space, direction: ClassDirection, label: int, reading: Reading) -> dict[str, Any]:
    """How often images are read as the class before and after they are moved along its direction to the last column."""
    moved: Array = space.draw(MOVED) + FARTHEST * direction.direction
    after = float((reading.classify(space.images(moved, {})) == label).mean())
    return {"read_before": round(direction.share, 4), "read_after": round(after, 4),
            "linear_in_z": round(direction.explained, 4)}
