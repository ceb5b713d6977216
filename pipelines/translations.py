"""What a report shows of a generator that translates: rows of images, of what is made of them, and of what should be.

Each grid has rows of ten, and its sentence says what the rows are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gan_core.asked import condition_of, image_of
from gan_core.bundle import Generator
from gan_core.data.shards import Shards, Split
from gan_core.metrics.translation import A, B, domain_of
from gan_core.pictures import pictured

COLUMNS = 10
ROWS = 2  # of images of each domain
PAIRS = 4  # rows of pairs

Images = NDArray[np.uint8]


def both_ways(generator: Generator) -> bool:
    """Whether it is asked where to translate to."""
    return condition_of(generator.spec) is not None


def given_images(generator: Generator, split: Split, rows: NDArray[np.int64]) -> Images:
    """Those images of pairs that the generator makes the others from, [n, C, H, W]."""
    return split.of(generator.given).gather(rows)


def translated_rows(generator: Generator, data: Shards, split: Split) -> tuple[Images, str]:
    """The images of a grid, COLUMNS a row, and the sentence that says what its rows are.  data: of the target."""
    if generator.given:
        return _pairs(generator, split)
    names = data.facts["class_names"]
    return _there_and_back(generator, split, names) if both_ways(generator) else _one_way(generator, split, names)


def _pairs(generator: Generator, split: Split) -> tuple[Images, str]:
    image = image_of(generator.spec)
    assert image is not None, "it is one that is given images"
    channels = generator.spec.output[0]
    chosen = np.arange(min(PAIRS * COLUMNS, len(split))) * len(split) // min(PAIRS * COLUMNS, len(split))
    rows = []
    for part in np.array_split(chosen, -(-len(chosen) // COLUMNS)):
        given = given_images(generator, split, part)
        made = generator.sample(len(part), images=given)
        rows += [pictured(given, channels, image[1].indices), made, split.gather(part)]
    said = f"{len(rows) // 3} times a row of input" if rows[3:] else "A row of input"
    return _filled(rows), (f"Generated, from the top: {said}, what the generator makes of it, and the real image of "
                           "the same pair, which it was not shown.")


def _there_and_back(generator: Generator, split: Split, names: Sequence[str]) -> tuple[Images, str]:
    """Real images, what they are translated to, and that translated back; then the other way."""
    translate, rows = _by(generator), []
    for label, other in ((A, B), (B, A)):
        for real in np.array_split(domain_of(split, label, ROWS * COLUMNS).images, ROWS):
            there = translate(real, other)
            rows += [real, there, translate(there, label)]
    a, b = names
    return _filled(rows), (f"Generated, from the top: {ROWS} times a row of {a}, the same translated to {b}, and that "
                           f"translated back; then {ROWS} times {b} to {a} and back.")


def _one_way(generator: Generator, split: Split, names: Sequence[str]) -> tuple[Images, str]:
    rows = []
    for real in np.array_split(domain_of(split, A, PAIRS * COLUMNS).images, PAIRS):
        rows += [real, generator.sample(len(real), images=real)]
    a, b = names
    return _filled(rows), f"Generated, from the top: {PAIRS} times a row of {a}, and the same translated to {b}."


def _by(generator: Generator) -> Callable[[Images, int], Images]:
    return lambda images, label: generator.sample(len(images), images=images, label=label)


def _filled(rows: Sequence[Images]) -> Images:
    """Whole rows, one after the other: what a short one lacks is left white."""
    white = [np.full((COLUMNS - len(row), *row.shape[1:]), 255, np.uint8) for row in rows]
    return np.concatenate([part for pair in zip(rows, white, strict=True) for part in pair])
