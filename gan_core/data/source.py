"""What a data set is to this project: a frozen block of options that yields examples.

    @SOURCES.register("my_set")
    class MySet(Source):
        root: Path

        def examples(self, split: str) -> Iterator[Example | Bad]:
            for file in sorted((self.root / split).glob("*.png")):
                yield Example(np.asarray(Image.open(file)), label=int(file.name[0]))

A source that can begin anywhere defines `splits` and `part` instead, and is read by many workers at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gan_core.config import Config, Experiment

SPLITS = ("train", "validation", "test")
TENSORS = ("image", "image_b", "audio", "tokens", "video")  # the fields of an example that hold its data


@dataclass(frozen=True, eq=False)
class Example:
    """One item.  All examples of a set have the same fields.

    image: [H, W] or [H, W, C] uint8, C = 2 and 4 with alpha last.  label: 0 … classes − 1, or None where the set has
    none.  image_b: the image's counterpart in a set of pairs.  audio: [T] or [channels, T] int16.  tokens: [T] int32.
    video: [T, H, W] or [T, H, W, C] uint8.  attributes: further numbers by name.  weight: how often to draw it.
    where: the file or row that it came from, for reports.
    """

    image: NDArray[np.uint8] | None = None
    label: int | None = None
    _: KW_ONLY
    image_b: NDArray[np.uint8] | None = None
    audio: NDArray[np.int16] | None = None
    tokens: NDArray[np.int32] | None = None
    video: NDArray[np.uint8] | None = None
    attributes: Mapping[str, float] = field(default_factory=dict)
    weight: float | None = None
    where: str = ""

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The data that it holds, by field."""
        return {name: value for name in TENSORS if (value := getattr(self, name)) is not None}


@dataclass(frozen=True)
class Bad:
    """An item that cannot be used.  where: its file or row.  reason: why, and what to do about it."""

    where: str
    reason: str


class Source(Config):
    """A data set.  Splits are fixed and disjoint; an order within a split is the same every time."""

    def examples(self, split: str) -> Iterator[Example | Bad]:
        """The examples of 'train', 'validation' or 'test', in order; nothing for a split that the set lacks."""
        if type(self).part is Source.part:
            raise TypeError(f"{type(self).__name__} does not say how to read its examples; define examples(split)")
        count = self.splits().get(split, 0)
        return self.part(split, 0, count) if count else iter(())

    def splits(self) -> Mapping[str, int]:
        """How many items each split has, unusable ones included; empty where `examples` must be read from the start."""
        return {}

    def part(self, split: str, start: int, stop: int) -> Iterator[Example | Bad]:
        """The items start … stop − 1 of a split, one Example or Bad for each.  Asked for only with `splits`."""
        raise TypeError(f"{type(self).__name__} says how many items it has; define part(split, start, stop) too")

    def facts(self) -> Mapping[str, Any]:
        """What is known of the set as a whole, as plain JSON values, for its manifest.

        class_names: a list, by label.  sample_rate: Hz of its audio.  vocabulary: a list of symbols, by token.
        domains: 'unpaired' where the labels 0 and 1 are two domains to be drawn independently.
        """
        return {}

    def fingerprint(self) -> str:
        """A digest that changes when the data does; it is an input of the prepare stage's key.

        This one reads the whole set; define a cheaper one where there is one.
        """
        digest = hashlib.sha256()
        for split in SPLITS:
            for example in self.examples(split):
                if isinstance(example, Bad):
                    digest.update(f"{split} {example}".encode())
                    continue
                digest.update(f"{split} {example.label} {example.weight} {sorted(example.attributes.items())}".encode())
                for name, value in example.tensors().items():
                    digest.update(f"{name} {value.dtype} {value.shape}".encode())
                    digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()


def source_of(experiment: Experiment) -> Source:
    """The data set that an experiment names."""
    return cast(Source, experiment.data)
