"""Which column of a table holds what, and what the text in it stands for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gan_core.data.items import labels_of, split_named
from gan_core.errors import DataError

LABEL_COLUMNS = ("label", "labels", "target", "class", "fine_label", "category")
SPLIT_NUMBERS = {"0": "train", "1": "validation", "2": "test"}  # as CelebA has them


def chosen(columns: Sequence[str], option: str, named: str | None, usual: Sequence[str], where: str) -> str | None:
    """The column that an option names, else the first of the usual ones that is there; '' names none.

    DataError, with the columns that there are, where the named one is not, or comes twice.
    """
    if named == "":
        return None
    name = named if named is not None else next((column for column in usual if column in columns), None)
    if name is not None and (count := columns.count(name)) != 1:
        has = "has no" if not count else "has more than one"
        raise DataError(f"{where}: {has} column '{name}'; {option}: can be one of {', '.join(columns[:40])}")
    return name


def numbers_of(values: Sequence[str]) -> tuple[list[float], tuple[str, ...]]:
    """Numbers as they stand, with no names; otherwise the place of each value among the names.  '' becomes NaN."""
    stated = [value for value in values if value]
    if all(math.isfinite(number_in(value)) for value in stated):
        return [number_in(value) for value in values], ()
    names, places = labels_of(stated)
    return [float(places[value]) if value else math.nan for value in values], names


def number_in(text: str) -> float:
    """NaN for what is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def rows_by_split(values: NDArray[np.str_], where: str) -> dict[str, NDArray[np.int64]]:
    """The rows of each split, by what its column says: a name, or CelebA's 0, 1, 2.  DataError for anything else."""
    texts, first, codes = np.unique(values, return_index=True, return_inverse=True)
    splits = [split_named(text) or SPLIT_NUMBERS.get(text) for text in texts.tolist()]
    for text, split, row in zip(texts.tolist(), splits, first.tolist(), strict=True):
        if split is None:
            raise DataError(f"{where}: row {row + 1} has '{text}' for its split; train, validation and test are known, "
                            "and 0, 1, 2")
    found = np.array(splits)[codes]
    return {split: np.flatnonzero(found == split) for split in dict.fromkeys(splits) if split}
