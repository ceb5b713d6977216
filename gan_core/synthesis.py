"""Synthetic sets from a published generator, a shard at a time: what is in shard k depends on the order and on k alone.

Each shard draws from a block of its own of the seed's streams, and its images go through the network on one thread in
batches that begin anew with it.  So any worker makes any shard, and whoever made it leaves no trace in its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from gan_core.asked import condition_of
from gan_core.bundle import BATCH, Generator
from gan_core.config import Config
from gan_core.data.attributes import Seen
from gan_core.data.layout import Layout
from gan_core.data.parts import SHARD_BYTES, Part, Written, put_note, put_shard
from gan_core.data.shards import ATTRIBUTES, LABEL
from gan_core.metrics.domain import one_thread
from gan_core.store import Store

SPLIT = "train"  # of a prepared set, whose place this one takes
MOST_IN_A_SHARD = 8192  # images of any size: what a kill loses, and the least that a worker is given

Precision = Literal["float32", "float64"]
Tell = Callable[[int], None]
"""Is told of each few images that were made, how many they are."""


class Order(Config):
    """What a set is made of.

    store, prefix: where the generator lies.  counts: images of each class; () where it knows none.  attributes: those
    that are the same of all images.  shards: how many; of `images` each has as many as the others, or one more.
    """

    store: str
    prefix: str
    images: int
    counts: tuple[int, ...]
    seed: int
    attributes: dict[str, float] | None
    truncation: float | None
    precision: Precision
    shards: int

    def parts(self) -> Iterator[Part]:
        """The shards in their order."""
        start = 0
        for number in range(self.shards):
            stop = start + self.images // self.shards + (number < self.images % self.shards)
            yield Part(split=SPLIT, number=number, start=start, stop=stop)
            start = stop

    def labels(self, number: int) -> NDArray[np.int64] | None:
        """Of the images of a shard, [n]; None where there are no classes.

        The images, sorted by class, are dealt to the shards like cards, so that each holds its share of every class.
        Within a shard classes take turns, the rarer ones at longer distances.
        """
        if not self.counts:
            return None
        dealt = np.searchsorted(np.cumsum(self.counts), np.arange(number, self.images, self.shards), side="right")
        here = np.bincount(dealt, minlength=len(self.counts))
        turn = np.arange(len(dealt)) - (np.cumsum(here) - here)[dealt]
        return dealt[np.argsort((turn + 0.5) / here[dealt], kind="stable")].astype(np.int64)


def alike(images: int, classes: int) -> tuple[int, ...]:
    """So many images over the classes, one more of the first ones where it does not go evenly; () for no classes."""
    return tuple(images // classes + (label < images % classes) for label in range(classes))


def missing(histogram: Mapping[int, int], classes: int) -> tuple[int, ...]:
    """Images of each class with which all have as many as the largest one of a set.  histogram: of its images by class.
    """
    most = max(histogram.values(), default=0)
    return tuple(most - histogram.get(label, 0) for label in range(classes))


def shards_for(images: int, example_bytes: int, shard_images: int | None) -> int:
    """How many shards so many images make, of at most `shard_images`; None for 64 MiB, at most 8,192."""
    most = shard_images or min(MOST_IN_A_SHARD, max(1, SHARD_BYTES // example_bytes))
    return -(-images // most)


def in_precision(generator: Generator, precision: Precision) -> Generator:
    """The generator as sets are made by it.  Images of float64 are those of `Generator.sample`."""
    return generator if precision == "float64" else generator.at(torch.float32)


@dataclass(frozen=True)
class ShardWriter:
    """Writes the shards of one order below one prefix.

    In memory there are the network, a batch, and a shard: its images, the same again as Arrow, and for a remote store
    once more.
    """

    order: Order
    generator: Generator
    store: Store
    prefix: str

    @property
    def layout(self) -> Layout:
        """What all images look like."""
        names = tuple(attribute.name for attribute in self.generator.attributes)
        spec = self.generator.spec
        return Layout(tensors={spec.kind: spec.output}, labelled=bool(self.order.counts), weighted=False,
                      attributes=names)

    def write(self, part: Part, tell: Tell = lambda images: None) -> Written:
        """One shard, and then its note.  Diverged for weights that make no images; StoreError when there is no room."""
        labels = self.order.labels(part.number)
        images, conditions = self._made(part, labels, tell)
        attributes = self._attributes(conditions)
        written = Written(
            part=part,
            items=len(images),
            file=put_shard(self.store, self.prefix, part, self._record_batch(images, labels, attributes)),
            examples=len(images),
            histogram={} if labels is None else _histogram(labels),
            bad=(),
            attributes={name: Seen.of(values) for name, values in attributes.items()},
        )
        put_note(self.store, self.prefix, written)
        return written

    def try_out(self) -> None:
        """Makes a batch, and keeps nothing of it."""
        with one_thread():
            self.generator.images_of(next(self._inputs(0, BATCH, None)))

    def _made(
        self, part: Part, labels: NDArray[np.int64] | None, tell: Tell
    ) -> tuple[NDArray[Any], list[NDArray[Any]]]:
        """The images of a shard as they are stored, and batch by batch what they were conditioned on."""
        spec = self.generator.spec
        condition = condition_of(spec)
        images = np.empty((part.stop - part.start, *spec.output), spec.modality.dtype)
        conditions: list[NDArray[Any]] = []
        done = 0
        with one_thread():
            for inputs in self._inputs(part.number, len(images), labels):
                made = self.generator.images_of(inputs)
                images[done : done + len(made)] = made
                conditions += [inputs[condition[0]]] if condition else []
                done += len(made)
                tell(len(made))
        return images, conditions

    def _inputs(self, block: int, images: int, labels: NDArray[np.int64] | None) -> Iterator[dict[str, NDArray[Any]]]:
        order = self.order
        return self.generator.inputs(images, BATCH, seed=order.seed, label=labels, attributes=order.attributes,
                                     truncation=order.truncation, block=block)

    def _attributes(self, conditions: Sequence[NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
        """The attributes of a shard's images, [n] by name."""
        known = self.generator.attributes
        if not known:
            return {}
        return {attribute.name: np.concatenate([given[:, place] for given in conditions])
                for place, attribute in enumerate(known)}

    def _record_batch(
        self, images: NDArray[Any], labels: NDArray[np.int64] | None, attributes: Mapping[str, NDArray[np.float64]]
    ) -> pa.RecordBatch:
        columns: dict[str, pa.Array] = {self.generator.spec.kind: pa.FixedShapeTensorArray.from_numpy_ndarray(images)}
        if labels is not None:
            columns[LABEL] = pa.array(labels)
        if attributes:
            columns[ATTRIBUTES] = pa.StructArray.from_arrays([pa.array(values) for values in attributes.values()],
                                                             names=list(attributes))
        return pa.RecordBatch.from_pydict(columns)


def _histogram(labels: NDArray[np.int64]) -> dict[int, int]:
    found, counts = np.unique(labels, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))
