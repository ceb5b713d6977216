"""Mean and covariance of features, in a form that shards can compute apart and merge.

Merging follows Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance", in float64
throughout.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError


@dataclass(frozen=True, eq=False)
class Moments:
    """n: rows seen.  mean: [d] float64.  scatter: [d, d] float64, Σ (x − mean)(x − mean)ᵀ, not divided by
    anything."""

    n: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[Any]) -> Self:
        """Moments of features [n, d], n ≥ 1.  DataError when they are not finite or have another shape."""
        if features.ndim != 2 or not features.size:
            raise DataError(f"features have the shape {features.shape}; moments need [n, d], both 1 or more")
        rows = features.astype(np.float64)
        mean = rows.mean(axis=0)
        if not np.isfinite(mean).all():
            raise DataError("features are not finite; look for NaN or infinity in the network that made them")
        rows -= mean
        return cls(len(rows), mean, rows.T @ rows)

    @classmethod
    def of_batches(cls, batches: Iterable[NDArray[Any]]) -> Moments:
        """Moments of the rows of all batches [nᵢ, d] together, one batch in memory at a time.

        DataError when there is no batch, and for a batch as in `of` and `merge`.
        """
        each = map(cls.of, batches)
        first = next(each, None)
        if first is None:
            raise DataError("there are no batches of features; moments need one row or more")
        return reduce(merge, each, first)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """[d, d], the unbiased estimate: divided by n − 1.  DataError for a single row."""
        if self.n < 2:
            raise DataError("one example has no covariance; compare at least two")
        return self.scatter / (self.n - 1)


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of both sets of rows together.  DataError when their features differ in length."""
    refuse_unlike(a, b)
    n = a.n + b.n
    apart = b.mean - a.mean
    mean = a.mean + apart * (b.n / n)
    return Moments(n, mean, a.scatter + b.scatter + np.outer(apart, apart) * (a.n * b.n / n))


def refuse_unlike(a: Moments, b: Moments) -> None:
    """DataError unless both are moments of features of one length."""
    if a.mean.shape != b.mean.shape:
        raise DataError(f"features of {len(a.mean)} and of {len(b.mean)} numbers cannot be compared; "
                        "take both from the same network")
