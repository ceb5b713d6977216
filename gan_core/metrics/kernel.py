"""The kernel distance (KID): squared maximum mean discrepancy with a cubic kernel.

Bińkowski et al. 2018, arXiv:1801.01401; Gretton et al. 2012, lemma 6, for the unbiased estimate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError

ROWS = 1024  # rows of a kernel matrix held at a time


def kernel_distance(
    real: NDArray[Any], fake: NDArray[Any], *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> float:
    """Mean over subsets of the unbiased MMD² between real [n, d] and fake [m, d].

    Each subset draws min(subset_size, n, m) rows of either side without replacement, seeded.  A subset that
    holds all rows of both is the same whichever way it is drawn, so it is evaluated once.  The estimate has
    no bias and may therefore be negative when both sides are alike.  DataError with fewer than two rows or
    unlike features.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise DataError(f"features of shapes {real.shape} and {fake.shape} cannot be compared; "
                        "take both as [n, d] from the same network")
    size = min(subset_size, len(real), len(fake))
    if size < 2:
        raise DataError("the kernel distance needs at least two examples of each side in a subset; "
                        "raise evaluate.samples or evaluate.kid_subset_size")
    x, y = real.astype(np.float64), fake.astype(np.float64)
    if size == len(x) == len(y):
        return unbiased_mmd2(x, y)
    draw = np.random.default_rng(seed)
    estimates = [unbiased_mmd2(*(draw.choice(side, size, replace=False) for side in (x, y)))
                 for _ in range(subsets)]
    return float(np.mean(estimates))


def unbiased_mmd2(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Mean of k over unlike pairs within x [n, d] and within y [m, d], less twice its mean across."""
    n, m = len(x), len(y)
    within = (_sum(x, x) - _diagonal(x)) / (n * (n - 1)) + (_sum(y, y) - _diagonal(y)) / (m * (m - 1))
    return float(within - 2 * _sum(x, y) / (n * m))


def _cubic(products: NDArray[np.float64], d: int) -> NDArray[np.float64]:
    """k(x, y) = (x·y / d + 1)³ from the products x·y."""
    cubed: NDArray[np.float64] = (products / d + 1.0) ** 3
    return cubed


def _sum(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    d = x.shape[1]
    return float(sum(_cubic(x[i : i + ROWS] @ y.T, d).sum() for i in range(0, len(x), ROWS)))


def _diagonal(x: NDArray[np.float64]) -> float:
    return float(_cubic(np.square(x).sum(axis=1), x.shape[1]).sum())
