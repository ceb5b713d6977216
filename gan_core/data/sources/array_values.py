"""Arrays of any numbers as images and labels: which axes are which, which value is black, which white."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt, prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gan_core.data.items import labels_of
from gan_core.errors import DataError

Layout = Literal["auto", "hw", "hwc", "chw"]
Numbers = NDArray[Any]
CHANNELS = range(1, 5)
NO_LABEL = -1  # of a row whose label is missing: NaN, or below zero


@dataclass(frozen=True)
class Header:
    """What is known of an array before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        return prod(self.shape[1:]) * self.dtype.itemsize


@dataclass(frozen=True)
class Shape:
    """How one row becomes an image.  row: its shape as stored.  image: to be read as, channels last or first."""

    row: tuple[int, ...]
    image: tuple[int, ...]
    layout: Literal["hw", "hwc", "chw"]

    def images(self, rows: Numbers) -> Numbers:
        """[n, *row] -> [n, H, W] or [n, H, W, C]."""
        shaped = rows.reshape(len(rows), *self.image)
        return np.moveaxis(shaped, 1, -1) if self.layout == "chw" else shaped


def shape_of(row: tuple[int, ...], layout: Layout, shape: tuple[int, ...] | None, where: str) -> Shape:
    """How rows of that shape are images.  DataError where nothing says which axis is which."""
    image = shape or row
    if len(row) == 1 and shape is None:
        side = isqrt(row[0])
        if side * side != row[0]:
            raise DataError(f"{where}: rows of {row[0]} numbers are no square; set shape: [height, width], "
                            "[height, width, channels], or [channels, height, width] with layout: chw")
        image = (side, side)
    if prod(image) != prod(row):
        raise DataError(f"{where}: rows of shape {list(row)} do not become shape: {list(image)}, "
                        f"which has {prod(image):,} numbers, not {prod(row):,}")
    found = _layout(image, where) if layout == "auto" else layout
    channels = {"hw": 1, "hwc": image[-1], "chw": image[0]}[found]
    if len(image) != len(found) or channels not in CHANNELS:
        axes = {"h": "height", "w": "width", "c": "1 to 4 channels"}
        raise DataError(f"{where}: images of shape {list(image)} are not [{', '.join(axes[axis] for axis in found)}]; "
                        "another layout: or shape: may be right")
    return Shape(row, image, found)


def _layout(image: tuple[int, ...], where: str) -> Literal["hw", "hwc", "chw"]:
    if len(image) == 2:
        return "hw"
    first, last = (len(image) == 3 and image[axis] in CHANNELS for axis in (0, -1))
    if first == last:
        raise DataError(f"{where}: images of shape {list(image)} may have their channels first or last; set layout: "
                        "hwc or layout: chw" if first else
                        f"{where}: shape {list(image)} has no axis of 1 to 4 channels; set images: to name another "
                        "array, or shape: [height, width, channels]")
    return "chw" if first else "hwc"


def span_of(low: float, high: float, kind: np.dtype[Any], where: str) -> tuple[float, float]:
    """The values of black and white, told by the smallest and largest of all.  DataError where they do not tell."""
    if kind == np.bool_:
        return 0, 1
    if kind.kind == "f" and high <= 1 and low >= -1:
        return (0, 1) if low >= 0 else (-1, 1)
    if low >= 0 and high <= 255 and (kind.kind != "f" or high > 127):
        if 0 < high <= 1:
            raise DataError(f"{where}: whole numbers from 0 to 1 may be two colours or nearly black; set range: [0, 1] "
                            "or range: [0, 255]")
        return 0, 255
    if kind == np.uint16:
        return 0, 65_535
    raise DataError(f"{where}: values from {low:g} to {high:g} do not tell what black and white are; "
                    f"set range: [{low:g}, {high:g}], or what the values can be")


def as_pixels(values: Numbers, span: tuple[float, float]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Values as 0 … 255, rounded, and which rows have them all: not NaN, infinite, or outside `span`.

    [n, …] -> [n, …] uint8, [n] bool.
    """
    low, high = span
    if values.dtype == np.uint8 and span == (0, 255):
        return values, np.ones(len(values), bool)
    scale = 255 / (high - low)
    exact: NDArray[np.floating[Any]] = values.astype(np.float64 if values.dtype.itemsize > 4 else np.float32)
    levels = (exact - low) * scale
    good = np.isfinite(levels) & (levels >= -0.5) & (levels <= 255.5)
    pixels = np.clip(np.rint(np.where(good, levels, 0)), 0, 255).astype(np.uint8)
    return pixels, good.reshape(len(values), -1).all(1)


def class_labels(parts: Sequence[Numbers], where: Sequence[str]) -> tuple[tuple[str, ...], list[NDArray[np.int64]]]:
    """Class names, and each row's label in each part; NO_LABEL where a row's is NaN or below zero.

    Values are whole numbers, text, or one-hot rows, of shape [n], [n, 1] or [n, classes].
    """
    values = [_one_each(part, name) for part, name in zip(parts, where, strict=True)]
    texts = [_texts(part, name) for part, name in zip(values, where, strict=True)]
    names, label_of = labels_of([text for part, _ in texts for text in part])
    return names, [np.array([label_of[text] for text in part] + [NO_LABEL], np.int64)[inverse]
                   for part, inverse in texts]


def _one_each(values: Numbers, where: str) -> Numbers:
    if values.ndim == 2 and values.shape[1] > 1 and values.dtype.kind in "biuf":
        if not (np.isin(values, (0, 1)).all() and (values.sum(1) == 1).all()):
            raise DataError(f"{where}: rows of {values.shape[1]} numbers are not one-hot; name an array of one label "
                            "a row by labels:, or leave labels out by labels: none")
        return np.asarray(values.argmax(1))
    if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] != 1):
        raise DataError(f"{where}: labels of shape {list(values.shape)} are not one a row; name others by labels:, or "
                        "leave labels out by labels: none")
    return values.reshape(-1)


def _texts(values: Numbers, where: str) -> tuple[list[str], NDArray[np.intp]]:
    """The distinct values in text, and for each row the number of its own; the number after the last for none."""
    kind = values.dtype.kind
    if kind not in "biufSU":
        raise DataError(f"{where}: labels are {values.dtype}, not whole numbers or text; labels: none leaves them out")
    if kind in "SU":
        unique, inverse = np.unique(values, return_inverse=True)
        return [text.decode("utf-8", "replace") if kind == "S" else str(text) for text in unique.tolist()], inverse
    missing = ~np.isfinite(values) | (values < 0) if kind in "if" else np.zeros(len(values), bool)
    whole = np.where(missing, 0, values)
    if kind == "f" and (whole != np.rint(whole)).any():
        raise DataError(f"{where}: labels such as {whole[whole != np.rint(whole)][0]:g} are not whole numbers; "
                        "labels: none leaves them out")
    unique, inverse = np.unique(whole[~missing].astype(np.int64), return_inverse=True)
    rows = np.full(len(values), len(unique), np.intp)
    rows[~missing] = inverse
    return [str(value) for value in unique.tolist()], rows
