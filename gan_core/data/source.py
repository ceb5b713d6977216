"""What a data set is to this project: a frozen block of options that yields examples.

    @SOURCES.register("my_set")
    class MySet(Source):
        source: Literal["my_set"] = "my_set"
        root: Path

        def examples(self, split: str) -> Iterator[Example]:
            for file in sorted((self.root / split).glob("*.png")):
                yield Example(np.asarray(Image.open(file)), label=int(file.name[0]))
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from gan_core.config import Config, Experiment

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Example:
    """image: [H, W] or [H, W, C] uint8.  label: 0 … classes − 1, or None where the set has none."""

    image: NDArray[np.uint8]
    label: int | None = None


class Source(Config):
    """A data set.  Splits are fixed and disjoint; an order within a split is the same every time."""

    def examples(self, split: str) -> Iterator[Example]:
        """The examples of 'train', 'validation' or 'test'."""
        raise TypeError(f"{type(self).__name__} does not say how to read its examples; define examples(split)")

    def fingerprint(self) -> str:
        """A digest that changes when the data does; it is an input of the prepare stage's key."""
        raise TypeError(f"{type(self).__name__} does not say what identifies its data; define fingerprint()")


def source_of(experiment: Experiment) -> Source:
    """The data set that an experiment names."""
    return cast(Source, experiment.data)
