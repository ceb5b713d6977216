"""One cell of a table as an image: an encoded file, or numbers in a list, nested lists or a tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt, prod
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gan_core.data.decode import decode_image
from gan_core.data.files import Limits
from gan_core.errors import DataError

Layout = Literal["auto", "hwc", "chw"]
MOST_CHANNELS = 4
TOLERANCE = 1e-6  # of the range, by which rounding may carry a float beyond it


@dataclass(frozen=True)
class Reading:
    """How a column's cells are read.  shape: of a flat list, a square without.  span: what becomes 0 and 255.

    file: the bytes of an image that a cell names by its path.
    """

    shape: tuple[int, ...] | None
    layout: Layout
    span: tuple[float, float] | None
    limits: Limits
    file: Callable[[str], bytes]


def holds_images(kind: Any) -> bool:
    """Whether a column of this Arrow type could hold images."""
    if pa.types.is_struct(kind):
        return any(kind.field(number).name == "bytes" for number in range(kind.num_fields))
    return _is_binary(kind) or _is_list(kind) or isinstance(kind, pa.FixedShapeTensorType)


def image_of(cell: Any, reading: Reading) -> NDArray[np.uint8]:
    """[H, W] or [H, W, C].  DataError, with the reason alone, for a cell that holds no image."""
    if not cell.is_valid:
        raise DataError("is null: it holds no image")
    kind = cell.type
    if pa.types.is_struct(kind):
        return decode_image(_struct_bytes(cell.as_py(), reading), reading.limits)
    if _is_binary(kind):
        return decode_image(cell.as_py(), reading.limits)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return decode_image(reading.file(cell.as_py()), reading.limits)
    values = cell.to_numpy() if isinstance(kind, pa.FixedShapeTensorType) else _numbers(cell, reading)
    if values.size > reading.limits.bytes:
        raise DataError(f"holds {values.size:,} numbers, more than limits.bytes={reading.limits.bytes:,}")
    return to_uint8(_arranged(values, reading), reading.span)


def to_uint8(values: NDArray[Any], span: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Numbers of a span as 0 … 255, rounded.  span: by default 0 to 255 for integers, 0 to 1 for floats.

    DataError for numbers outside it, and for those that are none.
    """
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "uif":
        raise DataError(f"holds {values.dtype}, not numbers")
    if not values.size:
        raise DataError("holds no numbers")
    if values.dtype == np.uint8 and span is None:
        return values.copy()  # a view would keep its whole group of rows in memory
    low, high = span or ((0.0, 1.0) if values.dtype.kind == "f" else (0.0, 255.0))
    least, most = float(values.min()), float(values.max())
    slack = TOLERANCE * (high - low)
    if not (least >= low - slack and most <= high + slack):
        raise DataError(f"holds numbers from {least:g} to {most:g}, outside {low:g} to {high:g}; set range: to those "
                        "that become black and white")
    if (low, high) == (0, 255) and values.dtype.kind in "ui":
        return values.astype(np.uint8)
    scaled = (values.astype(np.float64) - low) * (255 / (high - low))
    return np.rint(scaled).clip(0, 255).astype(np.uint8)


def _struct_bytes(cell: dict[str, Any], reading: Reading) -> bytes:
    """The image of Hugging Face's struct {bytes, path}: its bytes, else the file at its path."""
    data, path = cell.get("bytes"), cell.get("path")
    if isinstance(data, bytes):
        return data
    if not isinstance(path, str) or not path:
        raise DataError("holds neither bytes nor a path")
    return reading.file(path)


def _numbers(cell: Any, reading: Reading) -> NDArray[Any]:
    """A list, or lists of lists that are all of one length, as an array."""
    array, shape = cell.values, [len(cell.values)]
    while _is_list(array.type):
        lengths = pc.list_value_length(array).unique()
        if len(lengths) != 1 or array.null_count:
            raise DataError("holds lists of several lengths; an image's rows are all of one")
        shape.append(lengths[0].as_py())
        array = array.flatten()
    if array.null_count:
        raise DataError("holds nulls among its numbers")
    if not (pa.types.is_primitive(array.type) and not pa.types.is_temporal(array.type)):
        raise DataError(f"holds a list of {array.type}, not of numbers")
    values = np.asarray(array.to_numpy(zero_copy_only=False))
    if len(shape) > 1:
        return values.reshape(shape)
    side = isqrt(values.size)
    wanted = reading.shape or (side, side)
    if values.size != prod(wanted):
        what = f"do not become shape: {list(wanted)}" if reading.shape else "are no square"
        raise DataError(f"holds {values.size:,} numbers, which {what}; set shape: to [H, W] or [H, W, C]")
    return values.reshape(wanted)


def _arranged(values: NDArray[Any], reading: Reading) -> NDArray[Any]:
    """Axes in the order H, W, C; unless told, C is the first where the last is too long for it."""
    if values.ndim not in (2, 3):
        raise DataError(f"has the shape {values.shape}; an image has two axes, or three with its channels")
    if values.ndim == 3:
        first = reading.layout == "chw" or (
            reading.layout == "auto" and values.shape[0] <= MOST_CHANNELS < values.shape[2])
        values = values.transpose(1, 2, 0) if first else values
        if not 1 <= values.shape[2] <= MOST_CHANNELS:
            raise DataError(f"has {values.shape[2]} channels in the shape {values.shape} (H, W, C); 1 to 4 are read; "
                            "set layout: chw or hwc")
    if values.shape[0] * values.shape[1] > reading.limits.pixels:
        raise DataError(f"is {values.shape[1]} x {values.shape[0]}, more than limits.pixels={reading.limits.pixels:,}")
    return values


def _is_binary(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
