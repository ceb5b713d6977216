"""Precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991), density and coverage (Naeem et al. 2020,
arXiv:2002.09797), all from nearest neighbours.

The ball of an example reaches to its k-th nearest neighbour within its own set, the example itself not
counted.  A ball is closed: an example whose distance is ≤ the radius lies in it, as in Kynkäänniemi's code
(Naeem's has <).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt, sqrt
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError

SIDE = 1024  # points of each set brought to float64 at a time; 8 MB of distances between them


@dataclass(frozen=True)
class Neighbours:
    """precision: share of generated examples in some real ball.  recall: share of real examples in some
    generated ball.  density: mean number of real balls round a generated example, over k; it may exceed 1.
    coverage: share of real balls that hold a generated example.  density_error: standard error of the density for the
    draw of the generated examples, the real ones given.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    density_error: float


def neighbours(real: NDArray[Any], fake: NDArray[Any], k: int) -> Neighbours:
    """Compares real [n, d] with generated features [m, d] of any number type, a tile of distances at a time.

    Distances are float64; on integer features such as pixel levels they are exact.  Elsewhere a tie counts as
    inside even when rounding parts it.  DataError when either set has k rows or fewer.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise DataError(f"features of shapes {real.shape} and {fake.shape} cannot be compared; "
                        "take both as [n, d] from the same network")
    if min(len(real), len(fake)) <= k:
        raise DataError(f"k={k} neighbours need at least {k + 1} real and {k + 1} generated examples; "
                        f"there are {len(real)} and {len(fake)}: raise evaluate.samples or lower evaluate.k")
    reals, fakes = _Points.of(real), _Points.of(fake)
    slack = _rounding(reals, fakes)
    real_reach, fake_reach = _reaches(reals, k) + slack, _reaches(fakes, k) + slack
    balls_round_fake = np.zeros(len(fake), np.int64)
    recalled, covered = np.zeros((2, len(real)), np.bool_)
    for rows in _parts(len(real)):
        for columns in _parts(len(fake)):
            squared = _squared_distances(reals[rows], fakes[columns])
            in_real_ball = squared <= real_reach[rows, None]
            balls_round_fake[columns] += in_real_ball.sum(axis=0)
            covered[rows] |= in_real_ball.any(axis=1)
            recalled[rows] |= (squared <= fake_reach[columns]).any(axis=1)
    return Neighbours(
        precision=float((balls_round_fake > 0).mean()),
        recall=float(recalled.mean()),
        density=float(balls_round_fake.mean()) / k,
        coverage=float(covered.mean()),
        density_error=float(balls_round_fake.std(ddof=1)) / k / sqrt(len(fake)),
    )


@dataclass(frozen=True, eq=False)
class _Points:
    """features: [n, d] of any number type.  norms: [n] float64, their squared lengths."""

    features: NDArray[Any]
    norms: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[Any]) -> Self:
        norms = [np.square(features[rows], dtype=np.float64).sum(axis=1) for rows in _parts(len(features))]
        return cls(features, np.concatenate(norms))

    def __getitem__(self, rows: slice) -> Self:
        return type(self)(self.features[rows], self.norms[rows])


def _reaches(points: _Points, k: int) -> NDArray[np.float64]:
    """The squared distance from each point to its k-th nearest other one, [n].

    Distances are symmetric: a tile off the diagonal serves its rows and its columns.
    """
    n = len(points.norms)
    nearest = np.full((n, k), np.inf)
    for rows in _parts(n):
        for columns in _parts(n, rows.start):
            squared = _squared_distances(points[rows], points[columns])
            if rows == columns:
                np.fill_diagonal(squared, np.inf)
            else:
                nearest[columns] = _smaller(nearest[columns], squared.T)
            nearest[rows] = _smaller(nearest[rows], squared)
    reaches: NDArray[np.float64] = nearest.max(axis=1)
    return reaches


def _smaller(known: NDArray[np.float64], found: NDArray[np.float64]) -> NDArray[np.float64]:
    """The k smallest of each row of both.  [n, k], [n, m] -> [n, k]"""
    k = known.shape[1]
    return _smallest(np.concatenate([known, _smallest(found, k)], axis=1), k)


def _smallest(values: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """The k smallest of each row, in no order; all of a row that has fewer.  [n, m] -> [n, min(k, m)]

    Long rows are dealt into groups first: the k groups with the smallest minima hold the k smallest values, or
    their equals.  To take minima is far cheaper than to select.
    """
    n, m = values.shape
    size = isqrt(m // k)
    if size > 1:
        count = m // size
        groups = values[:, : size * count].reshape(n, size, count)
        near = np.argpartition(groups.min(axis=1), k - 1, axis=1)[:, None, :k]
        within = np.take_along_axis(groups, near, axis=2).reshape(n, size * k)
        values = np.concatenate([within, values[:, size * count :]], axis=1)
    return np.partition(values, k - 1, axis=1)[:, :k] if k < values.shape[1] else values


def _squared_distances(x: _Points, y: _Points) -> NDArray[np.float64]:
    """|x|² + |y|² − 2 x·y, at least 0.  [n, d], [m, d] -> [n, m]"""
    doubled = np.multiply(x.features, -2.0, dtype=np.float64)
    squared: NDArray[np.float64] = doubled @ y.features.astype(np.float64).T
    squared += x.norms[:, None]
    squared += y.norms
    np.maximum(squared, 0.0, out=squared)
    return squared


def _rounding(x: _Points, y: _Points) -> float:
    """What rounding can put between two squared distances that are equal; below 1, so nothing, on images up to
    209×209×3."""
    largest = max(x.norms.max(), y.norms.max())
    return float(4 * (x.features.shape[1] + 2) * np.finfo(np.float64).eps * largest)


def _parts(n: int, start: int = 0) -> Iterator[slice]:
    """Cuts start … n into slices of SIDE."""
    for first in range(start, n, SIDE):
        yield slice(first, min(first + SIDE, n))
