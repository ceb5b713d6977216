"""The nearest training examples of each generated one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError

QUERIES, COLUMNS = 4096, 1024  # distances held at a time: 32 MB of float64


@dataclass(frozen=True, eq=False)
class Nearest:
    """indices: [m], of the nearest training row, the first of equally near ones.  distances: [m] float64, to it.

    Of `nearest_few` both are [m, k], the nearest first.
    """

    indices: NDArray[np.int64]
    distances: NDArray[np.float64]


def nearest(queries: NDArray[Any], train: NDArray[Any]) -> Nearest:
    """Of each row of queries [m, d], of any number type, the nearest row of train [n, d] by Euclidean distance.

    Indices are exact for pixel levels, elsewhere up to float64 rounding; distances are sums of squared differences, so
    that a copy is exactly 0 away.  Blocks bound the memory.  DataError for unlike features and for none.
    """
    found = nearest_few(queries, train, 1)
    return Nearest(found.indices[:, 0], found.distances[:, 0])


def nearest_few(queries: NDArray[Any], train: NDArray[Any], k: int) -> Nearest:
    """The same for the k nearest rows.  DataError also when there are fewer than k."""
    if queries.ndim != 2 or train.ndim != 2 or queries.shape[1] != train.shape[1] or not queries.size or not train.size:
        raise DataError(f"features of shapes {queries.shape} and {train.shape} cannot be compared; "
                        "take both as [n, d], one row or more, from the same network")
    if k > len(train):
        raise DataError(f"k={k} nearest of {len(train)} training rows cannot be found; k={len(train)} works")
    blocks = [queries[start : start + QUERIES] for start in range(0, len(queries), QUERIES)]
    indices = np.concatenate([_nearest_rows(block.astype(np.float64), train, k) for block in blocks])
    distances = np.stack([_distances(queries, train, indices[:, place]) for place in range(k)], axis=1)
    order = distances.argsort(axis=1, kind="stable")  # rounding may have put a copy behind what is about as near
    return Nearest(np.take_along_axis(indices, order, 1), np.take_along_axis(distances, order, 1))


def _nearest_rows(queries: NDArray[np.float64], train: NDArray[Any], k: int) -> NDArray[np.int64]:
    """[m, k].  Compares |t|² − 2 q·t: the squared distance less what all rows of train have in common."""
    best = np.full((len(queries), k), np.inf)
    indices = np.zeros((len(queries), k), np.int64)
    for start in range(0, len(train), COLUMNS):
        rows = train[start : start + COLUMNS].astype(np.float64)
        apart = queries @ (-2 * rows.T)
        apart += np.square(rows).sum(axis=1)
        here, found = _smallest(apart, k)
        both = np.concatenate([best, found], axis=1)
        order = both.argsort(axis=1, kind="stable")[:, :k]  # of equally near rows the earlier one stays
        best = np.take_along_axis(both, order, 1)
        indices = np.take_along_axis(np.concatenate([indices, start + here], axis=1), order, 1)
    return indices


def _smallest(apart: NDArray[np.float64], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Columns [m, k] of the smallest numbers of each row, and these; what was taken is infinite afterwards."""
    every = np.arange(len(apart))
    columns, values = np.empty((len(apart), k), np.int64), np.empty((len(apart), k))
    for place in range(k):
        columns[:, place] = here = apart.argmin(axis=1)
        values[:, place] = apart[every, here]
        apart[every, here] = np.inf
    return columns, values


def _distances(queries: NDArray[Any], train: NDArray[Any], indices: NDArray[np.int64]) -> NDArray[np.float64]:
    distances = np.empty(len(queries))
    for start in range(0, len(queries), COLUMNS):
        block = slice(start, start + COLUMNS)
        apart = queries[block].astype(np.float64) - train[indices[block]]
        distances[block] = np.sqrt(np.square(apart).sum(axis=1))
    return distances
