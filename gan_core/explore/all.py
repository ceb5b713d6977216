"""Every picture of a generator, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gan_core.explore.attributes import Reading, attributes
from gan_core.explore.between import classes, interpolation, truncation
from gan_core.explore.components import components
from gan_core.explore.picture import MOST_SAMPLES, Extent, LeftOut, Picture
from gan_core.explore.space import Space

NAMES = ("interpolation", "classes", "pca", "attributes", "truncation")
FILES = ("interpolation.png", "interpolation.gif", "classes.png", "pca.png", "attributes.png", "truncation.png")


def explored(
    space: Space, extent: Extent, reading: Callable[[], Reading | LeftOut]
) -> Iterator[Picture | LeftOut]:
    """The pictures of `NAMES` in that order, each made when it is asked for.

    reading: is called where a classifier of the training images is wanted.
    """
    generator = space.generator
    yield interpolation(space, extent)
    yield classes(space, extent)
    large = _too_large(space, extent)
    yield LeftOut("pca", large) if large else components(space, extent)
    if generator.classes or generator.attributes or not large:
        yield attributes(space, extent, reading)
    else:
        yield LeftOut("attributes", large)
    yield truncation(space, extent)


def _too_large(space: Space, extent: Extent) -> str:
    """Why directions are not found unless it is asked for how many samples; '' where they are."""
    needed = extent.draws(space.size)
    if extent.samples is not None or needed <= MOST_SAMPLES:
        return ""
    return f"z has {space.size:,} numbers, whose directions take {needed:,} samples; --samples {needed} takes them"
