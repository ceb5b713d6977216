"""What lies beside the images of an Arrow table, whole columns at a time: labels, numbers, names of splits."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gan_core.data.items import labels_of
from gan_core.errors import DataError

NO_LABEL = -1


def class_names_of(schema: Any, column: str) -> tuple[str, ...]:
    """The names that Hugging Face's datasets write beside a ClassLabel column; none where they are not stated."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
    except (KeyError, TypeError, ValueError):
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def labels_in(columns: Sequence[Any], where: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Whole numbers as they stand, text by its place among all of the text, with the names; NO_LABEL for null.

    columns: one column of each file.  DataError for what is neither.
    """
    if all(_is_number(column.type) for column in columns):
        try:
            whole = [column.cast(pa.int64()).fill_null(NO_LABEL).to_numpy() for column in columns]
        except pa.ArrowInvalid as error:
            raise DataError(f"{where}: holds numbers that are not whole: {_first_line(error)}; name another column, or "
                            "'' for none") from None
        return (), np.concatenate(whole)
    return _coded(columns, where)


def numbers_in(columns: Sequence[Any], where: str) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Numbers as they stand, text by its place among the text, with the names; NaN for null."""
    if all(_is_number(column.type) for column in columns):
        return np.concatenate([column.cast(pa.float64()).fill_null(math.nan).to_numpy() for column in columns]), ()
    names, places = _coded(columns, where)
    return np.where(places == NO_LABEL, math.nan, places), names


def texts_in(columns: Sequence[Any], where: str) -> NDArray[np.str_]:
    """Every cell as text, '' for null."""
    return np.concatenate([np.array(_text(column, where).fill_null("").to_pylist(), np.str_) for column in columns])


def _coded(columns: Sequence[Any], where: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    encoded = [_text(column, where).combine_chunks().dictionary_encode() for column in columns]
    names, places = labels_of([name for column in encoded for name in column.dictionary.to_pylist()])
    found = []
    for column in encoded:
        table = np.array([places[name] for name in column.dictionary.to_pylist()] + [NO_LABEL], np.int64)
        found.append(table[column.indices.fill_null(len(table) - 1).to_numpy()])
    return names, np.concatenate(found)


def _text(column: Any, where: str) -> Any:
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"{where}: holds {column.type}, neither numbers nor text; name another column") from None


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
