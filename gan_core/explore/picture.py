"""What exploring makes: pictures as files, and what is in them as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gan_core.asked import Rows
from gan_core.errors import ConfigError
from gan_core.explore.space import Space
from gan_core.latent import Array

MOST_ROWS, MOST_COLUMNS, MOST_SAMPLES = 20, 33, 10_000
SAMPLES = 1000  # that directions are found from, where z has not so many numbers that more are needed


@dataclass(frozen=True)
class Picture:
    """files: contents by name, the picture first.  facts: what it shows, for explore.json."""

    name: str
    files: Mapping[str, bytes]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class LeftOut:
    """A picture that this generator has not, and why, in one line."""

    name: str
    why: str


@dataclass(frozen=True)
class Extent:
    """How many rows and columns pictures have, and how many latent vectors directions are found from.

    samples: None for 1000, and at least four times as many as z has numbers.
    """

    rows: int = 8
    columns: int = 9
    samples: int | None = None

    def __post_init__(self) -> None:
        for name, given, least, most, works in (("rows", self.rows, 1, MOST_ROWS, 8),
                                                ("columns", self.columns, 2, MOST_COLUMNS, 9)):
            if not least <= given <= most:
                raise ConfigError(f"{name}={given}: {name} are {least} to {most}; {name}={works} works")

    def draws(self, size: int) -> int:
        """How many latent vectors of so many numbers directions are found from.  ConfigError when they are too few."""
        least, enough = 2 * size, max(SAMPLES, 4 * size)
        most = max(MOST_SAMPLES, enough)
        if self.samples is not None and not least <= self.samples <= most:
            raise ConfigError(f"samples={self.samples}: z has {size} numbers, and directions in it are found from "
                              f"{least:,} to {most:,} samples; samples={enough} works")
        return enough if self.samples is None else self.samples


def row_names(space: Space, asked: Rows, others: list[str]) -> list[str]:
    """The class of each row where images are asked for by label, else what it is called otherwise."""
    if not space.generator.classes:
        return others
    return [f"class {label}" for label in _labels(asked)]


def steps(along: Array) -> list[str]:
    """Names of columns that an image is moved to by these distances."""
    return [f"{step:+.3g}" if step else "0" for step in along]


def told(space: Space, asked: Rows) -> dict[str, Any]:
    """What rows or columns were asked for, for explore.json; nothing for a generator that is asked for nothing."""
    if space.generator.classes:
        return {"labels": _labels(asked)}
    if space.generator.attributes:
        (values,) = asked.values()
        return {"attributes": {attribute.name: values[:, number].tolist()
                               for number, attribute in enumerate(space.generator.attributes)}}
    return {}


def spread(count: int, most: int) -> list[int]:
    """At most so many of 0 … count − 1, evenly from the first to the last."""
    places = np.unique(np.linspace(0, count - 1, min(count, most)).round())
    return [int(place) for place in places]


def _labels(asked: Rows) -> list[int]:
    (labels,) = asked.values()
    return [int(label) for label in labels]
