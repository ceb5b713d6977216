"""The nearest training example of each generated one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError

QUERIES, COLUMNS = 4096, 1024  # distances held at a time: 32 MB of float64


@dataclass(frozen=True, eq=False)
class Nearest:
    """indices: [m], of the nearest training row, the first of equally near ones.  distances: [m] float64, to it."""

    indices: NDArray[np.int64]
    distances: NDArray[np.float64]


def nearest(queries: NDArray[Any], train: NDArray[Any]) -> Nearest:
    """Of each row of queries [m, d], of any number type, the nearest row of train [n, d] by Euclidean distance.

    Indices are exact for pixel levels, elsewhere up to float64 rounding; distances are sums of squared differences, so
    that a copy is exactly 0 away.  Blocks bound the memory.  DataError for unlike features and for none.
    """
    if queries.ndim != 2 or train.ndim != 2 or queries.shape[1] != train.shape[1] or not queries.size or not train.size:
        raise DataError(f"features of shapes {queries.shape} and {train.shape} cannot be compared; "
                        "take both as [n, d], one row or more, from the same network")
    blocks = [queries[start : start + QUERIES] for start in range(0, len(queries), QUERIES)]
    indices = np.concatenate([_nearest_rows(block.astype(np.float64), train) for block in blocks])
    return Nearest(indices, _distances(queries, train, indices))


def _nearest_rows(queries: NDArray[np.float64], train: NDArray[Any]) -> NDArray[np.int64]:
    """Compares |t|² − 2 q·t: the squared distance less what all rows of train have in common."""
    best = np.full(len(queries), np.inf)
    indices = np.zeros(len(queries), np.int64)
    for start in range(0, len(train), COLUMNS):
        rows = train[start : start + COLUMNS].astype(np.float64)
        apart = queries @ (-2 * rows.T)
        apart += np.square(rows).sum(axis=1)
        here = apart.argmin(axis=1)
        found = apart[np.arange(len(queries)), here]
        nearer = found < best
        best[nearer], indices[nearer] = found[nearer], start + here[nearer]
    return indices


def _distances(queries: NDArray[Any], train: NDArray[Any], indices: NDArray[np.int64]) -> NDArray[np.float64]:
    distances = np.empty(len(queries))
    for start in range(0, len(queries), COLUMNS):
        block = slice(start, start + COLUMNS)
        apart = queries[block].astype(np.float64) - train[indices[block]]
        distances[block] = np.sqrt(np.square(apart).sum(axis=1))
    return distances
