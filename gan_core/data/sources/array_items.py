"""Sets that are arrays: rows of images and of labels, which every file format of arrays shares."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gan_core.config import Count
from gan_core.data.items import Index, deal_out, indexed
from gan_core.data.long_tail import LongTailed
from gan_core.data.source import Bad, Example
from gan_core.data.sources.array_names import Pair, find_pairs
from gan_core.data.sources.array_values import (
    NO_LABEL,
    Header,
    Layout,
    Numbers,
    Shape,
    as_pixels,
    class_labels,
    shape_of,
    span_of,
)
from gan_core.errors import DataError

BLOCK = 32 * 2**20  # bytes of rows that are read and converted at once
GLIMPSE = 2**20  # bytes of rows that are looked at together for their smallest and largest value
ROW_BITS = 40  # an item is the number of its pair of arrays, then of its row


class Arrays(Protocol):
    """Arrays by name, read by rows."""

    @property
    def headers(self) -> Mapping[str, Header]: ...

    def rows(self, name: str, start: int, stop: int) -> Numbers:
        """The rows start … stop − 1 of one.  DataError where they cannot be read."""
        ...


@dataclass(frozen=True)
class InMemory:
    """Arrays that are in memory whole."""

    arrays: Mapping[str, Numbers]

    @property
    def headers(self) -> Mapping[str, Header]:
        return {name: Header(array.shape, array.dtype) for name, array in self.arrays.items()}

    def rows(self, name: str, start: int, stop: int) -> Numbers:
        return self.arrays[name][start:stop]


@dataclass(frozen=True)
class Reading:
    """What is said of the arrays beforehand; None where they tell it themselves."""

    images: str | None = None
    labels: str | None = None
    layout: Layout = "auto"
    shape: tuple[int, ...] | None = None
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class ArrayIndex(Index):
    """Items are [n] int64: pair << ROW_BITS | row.  labels: of each pair, [rows] int64.  span: black and white."""

    pairs: tuple[Pair, ...] = ()
    shapes: tuple[Shape, ...] = ()
    labels: tuple[NDArray[np.int64], ...] = ()
    span: tuple[float, float] = (0, 255)


class ArrayItems(LongTailed):
    """A set of arrays.  A format says how they are opened."""

    range: tuple[float, float] | None = Field(
        None, description="the values of black and white; null tells by the smallest and largest of all",
        examples=[[0, 1]])
    memory: Count = Field(4 * 2**30, description="bytes that one array, or one chunk of it, may fill when unpacked")

    @model_validator(mode="after")
    def _range_rises(self) -> Self:
        if self.range is not None and not self.range[0] < self.range[1] < np.inf:
            raise ValueError(f"range={list(self.range)} does not rise from black to white; [0, 1] works")
        return self

    @abstractmethod
    def open_arrays(self) -> AbstractContextManager[Arrays]:
        """The arrays, for as long as the context lasts.  DataError where they cannot be read."""

    def reading(self) -> Reading:
        return Reading(span=self.range)

    def index(self) -> ArrayIndex:
        told = self.reading()
        with self.open_arrays() as arrays:
            pairs, unused = find_pairs(arrays.headers, told.images, told.labels, self.url)
            for pair in pairs.values():
                self._check(arrays.headers, pair)
            shapes = tuple(shape_of(arrays.headers[pair.images].shape[1:], told.layout, told.shape,
                                    self._named(pair.images)) for pair in pairs.values())
            span = told.span or self._span(arrays, [pair.images for pair in pairs.values()])
            class_names, labels = self._labels(arrays, list(pairs.values()))
            counts = [arrays.headers[pair.images].shape[0] for pair in pairs.values()]
        named: dict[str, Any] = {split: np.arange(count) + (number << ROW_BITS)
                                 for number, (split, count) in enumerate(zip(pairs, counts, strict=True))}
        facts = {"value_range": list(span), "stored_as": f"{shapes[0].layout} {list(shapes[0].image)}",
                 **({"unused_arrays": unused} if unused else {})}
        dealt = deal_out(named, self.deal, [str(row) for row in range(len(named.get("train", ())))])
        return ArrayIndex(dealt, class_names, facts, tuple(pairs.values()), shapes, labels, span)

    def labels_of_items(self, index: Index, items: Sequence[Any]) -> NDArray[np.int64] | None:
        assert isinstance(index, ArrayIndex)
        if not index.class_names:
            return None
        pair, row = np.divmod(np.asarray(items, np.int64), 1 << ROW_BITS)
        found = np.full(len(pair), NO_LABEL, np.int64)
        for number, labels in enumerate(index.labels):
            found[pair == number] = labels[row[pair == number]]
        return found

    def read(self, item: Any) -> Example:
        with self.open_arrays() as arrays:
            found = next(self._examples(arrays, np.array([item], np.int64)))
        if isinstance(found, Bad):
            raise DataError(found.reason)
        return found

    def part(self, split: str, start: int, stop: int) -> Iterator[Example | Bad]:
        index = self._index()
        items = np.asarray(index.splits.get(split, ()), np.int64)[start:stop]
        with self.open_arrays() as arrays:
            while len(items):
                header = arrays.headers[index.pairs[items[0] >> ROW_BITS].images]
                reach = max(1, BLOCK // header.row_bytes)
                near = (items[:reach] >= items[0]) & (items[:reach] < items[0] + reach)
                taken = len(near) if near.all() else int(near.argmin())
                yield from self._examples(arrays, items[:taken])
                items = items[taken:]

    def name_of(self, item: Any) -> str:
        pair, row = divmod(int(item), 1 << ROW_BITS)
        return f"{self._index().pairs[pair].images}[{row}]"

    def _index(self) -> ArrayIndex:
        return cast(ArrayIndex, indexed(self))

    def _examples(self, arrays: Arrays, items: NDArray[np.int64]) -> Iterator[Example | Bad]:
        """Rows of one pair that lie near each other."""
        index, number = self._index(), int(items[0] >> ROW_BITS)
        pair, rows = index.pairs[number], items - (number << ROW_BITS)
        first = int(rows.min())
        values = arrays.rows(pair.images, first, int(rows.max()) + 1)[rows - first]
        pixels, good = as_pixels(index.shapes[number].images(values), index.span)
        labels = index.labels[number][rows].tolist() if pair.labels else [None] * len(rows)
        for image, is_good, label, row in zip(pixels, good.tolist(), labels, rows.tolist(), strict=True):
            where = f"{pair.images}[{row}]"
            if not is_good:
                yield Bad(where, f"holds NaN, infinity, or values outside {list(index.span)}")
            elif label == NO_LABEL:
                yield Bad(where, "has no label: NaN, or below zero")
            else:
                yield Example(image, label, where=where)

    def _check(self, headers: Mapping[str, Header], pair: Pair) -> None:
        header, where = headers[pair.images], self._named(pair.images)
        if header.dtype.kind not in "biuf":
            raise DataError(f"{where}: holds {header.dtype} and not numbers; save it as one array of uint8, images of "
                            "one size, for example np.stack(images).astype(np.uint8)")
        if len(header.shape) < 2 or not header.row_bytes:
            raise DataError(f"{where}: shape {list(header.shape)} is not that of images, [count, height, width] or "
                            "[count, height, width, channels]; name others by images:")
        if header.shape[0] > self.limits.items:
            raise DataError(f"{where}: {header.shape[0]:,} rows, more than limits.items={self.limits.items:,}; raise "
                            "it if that is right")
        if header.row_bytes > self.limits.bytes or prod(header.shape[1:]) > 4 * self.limits.pixels:
            raise DataError(f"{where}: one image is {header.row_bytes:,} bytes of shape {list(header.shape[1:])}, more "
                            "than limits.bytes or limits.pixels; raise them if that is right")
        if pair.labels and headers[pair.labels].shape[:1] != header.shape[:1]:
            raise DataError(f"{where}: {header.shape[0]:,} images, but {pair.labels} has shape "
                            f"{list(headers[pair.labels].shape)}; they must be as many, or set labels: none")

    def _span(self, arrays: Arrays, names: Sequence[str]) -> tuple[float, float]:
        """Black and white by the values that occur; of uint8, no further than it takes to see more than 0 and 1."""
        kinds = {arrays.headers[name].dtype for name in names}
        if len(kinds) > 1:
            raise DataError(f"{self.url}: {names[0]} and {names[1]} hold different types, {kinds}; set range:, for "
                            "example range: [0, 255]")
        low, high = np.inf, -np.inf
        for name in names:
            header = arrays.headers[name]
            step = max(1, GLIMPSE // header.row_bytes)
            for start in range(0, header.shape[0], step):
                values = arrays.rows(name, start, start + step)
                finite = values[np.isfinite(values)] if header.dtype.kind == "f" else values
                if finite.size:
                    low, high = min(low, float(finite.min())), max(high, float(finite.max()))
                if header.dtype == np.bool_ or (header.dtype == np.uint8 and high > 1):
                    break
        return span_of(low, high, kinds.pop(), self._named(names[0]))

    def _labels(self, arrays: Arrays, pairs: Sequence[Pair]) -> tuple[tuple[str, ...], tuple[NDArray[np.int64], ...]]:
        names = [pair.labels for pair in pairs if pair.labels]
        if not names:
            return (), ()
        values = [arrays.rows(name, 0, arrays.headers[name].shape[0]) for name in names]
        class_names, labels = class_labels(values, [self._named(name) for name in names])
        return class_names, tuple(labels)

    def _named(self, name: str) -> str:
        return f"{self.url}: {name}"


class ArrayOptions(ArrayItems):
    """Arrays of whose names and values the user may have to say more."""

    images: str | None = Field(None, description="the array of images, by its whole name or by the word beside the "
                                                 "split's: 'x' for x_train and x_test; null finds it")
    labels: str | None = Field(None, description="the array of labels, in the same way; 'none' leaves labels out")
    layout: Layout = Field("auto", description="order of an image's axes: height, width, channels")
    shape: tuple[Count, ...] | None = Field(None, description="of one image, where rows are flat; null takes squares",
                                            examples=[[32, 32, 3]], min_length=2, max_length=3)

    def reading(self) -> Reading:
        return Reading(self.images, self.labels, self.layout, self.shape, self.range)
