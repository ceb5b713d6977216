"""Precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991), density and coverage (Naeem et al. 2020,
arXiv:2002.09797), all from nearest neighbours.

The ball of an example reaches to its k-th nearest neighbour within its own set, the example itself not
counted.  A ball is closed: an example whose distance is ≤ the radius lies in it, as in Kynkäänniemi's code
(Naeem's has <).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError

CELLS = 2**22  # float64 distances held at a time: 32 MB
COLUMNS = 1024  # rows of the other set brought to float64 at a time


@dataclass(frozen=True)
class Neighbours:
    """precision: share of generated examples in some real ball.  recall: share of real examples in some
    generated ball.  density: mean number of real balls round a generated example, over k; it may exceed 1.
    coverage: share of real balls that hold a generated example.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def neighbours(real: NDArray[Any], fake: NDArray[Any], k: int) -> Neighbours:
    """Compares real [n, d] with generated features [m, d] of any number type, a block of distances at a time.

    Distances are float64; on integer features such as pixel levels they are exact.  Elsewhere a tie counts as
    inside even when rounding parts it.  DataError when either set has k rows or fewer.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise DataError(f"features of shapes {real.shape} and {fake.shape} cannot be compared; "
                        "take both as [n, d] from the same network")
    if min(len(real), len(fake)) <= k:
        raise DataError(f"k={k} neighbours need at least {k + 1} real and {k + 1} generated examples; "
                        f"there are {len(real)} and {len(fake)}: raise evaluate.samples or lower evaluate.k")
    slack = _rounding(real, fake)
    real_reach, fake_reach = _reaches(real, k) + slack, _reaches(fake, k) + slack
    balls_round_fake = np.zeros(len(fake), np.int64)
    recalled = covered = 0
    for rows in _blocks(len(real), len(fake)):
        squared = _squared_distances(real[rows], fake)
        in_real_ball = squared <= real_reach[rows, None]
        balls_round_fake += in_real_ball.sum(axis=0)
        covered += int(in_real_ball.any(axis=1).sum())
        recalled += int((squared <= fake_reach).any(axis=1).sum())
    return Neighbours(
        precision=float((balls_round_fake > 0).mean()),
        recall=recalled / len(real),
        density=float(balls_round_fake.mean()) / k,
        coverage=covered / len(real),
    )


def _reaches(features: NDArray[Any], k: int) -> NDArray[np.float64]:
    """The squared distance from each row to its k-th nearest other row.  [n, d] -> [n]"""
    reaches = np.empty(len(features))
    for rows in _blocks(len(features), len(features)):
        squared = _squared_distances(features[rows], features)
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = np.inf
        reaches[rows] = np.partition(squared, k - 1, axis=1)[:, k - 1]
    return reaches


def _squared_distances(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """|x|² + |y|² − 2 x·y, at least 0.  [n, d], [m, d] -> [n, m]"""
    a = x.astype(np.float64)
    squared = np.empty((len(x), len(y)))
    for start in range(0, len(y), COLUMNS):
        b = y[start : start + COLUMNS].astype(np.float64)
        squared[:, start : start + COLUMNS] = _squared_norms(a)[:, None] + _squared_norms(b) - 2 * (a @ b.T)
    return np.maximum(squared, 0.0, out=squared)


def _squared_norms(x: NDArray[np.float64]) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.square(x).sum(axis=1)
    return norms


def _rounding(x: NDArray[Any], y: NDArray[Any]) -> float:
    """What rounding can add to or take from one squared distance; below 1, so nothing, on images up to
    209×209×3."""
    largest = max(
        float(_squared_norms(some[start : start + COLUMNS].astype(np.float64)).max())
        for some in (x, y)
        for start in range(0, len(some), COLUMNS)
    )
    return float(4 * x.shape[1] * np.finfo(np.float64).eps * largest)


def _blocks(n: int, width: int) -> Iterator[slice]:
    """Cuts n rows so that a block of [rows, width] float64 has at most CELLS numbers."""
    rows = max(1, CELLS // width)
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))
