"""The sliced Wasserstein distance: sets of points compared along random lines, where transport is a matter of sorting.

Rabin et al. 2011, "Wasserstein barycenter and its application to texture mixing"; Karras et al. 2018, arXiv:1710.10196,
appendix A, for generators (on patches of a Laplacian pyramid there; on whatever rows are given here).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError

NUMBERS = 2**22  # projections held at a time: 32 MB
ROWS = 1024  # rows brought to float64 at a time


def sliced_wasserstein(
    real: NDArray[Any], fake: NDArray[Any], *, directions: int = 512, p: float = 2.0, seed: int = 0
) -> float:
    """(mean over unit directions of W_p^p)^(1/p) between real [n, d] and fake [m, d], in units of the features.

    W_p is the distance of the two sets projected on a direction, exact also where n ≠ m.  Directions are uniform on the
    sphere, drawn by the seed.  With p = 1 this is the mean over directions of W_1, as Karras et al. have it.  At least
    0, and 0 for equal sets up to float64 rounding; the value does not depend on how many rows are held at a time.
    DataError for unlike features and for none.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1] or not real.size or not fake.size:
        raise DataError(f"features of shapes {real.shape} and {fake.shape} cannot be compared; "
                        "take both as [n, d], one row or more, from the same network")
    if directions < 1 or p < 1:
        raise DataError(f"directions={directions} and p={p} are no distance; both are 1 or more")
    lines = unit_directions(directions, real.shape[1], seed)
    share, from_real, from_fake = coupling(len(real), len(fake))
    at_once = max(1, NUMBERS // (len(real) + len(fake)))
    total = 0.0
    for start in range(0, directions, at_once):
        some = lines[start : start + at_once]
        apart = _sorted_projections(real, some)[:, from_real] - _sorted_projections(fake, some)[:, from_fake]
        total += float((np.abs(apart) ** p @ share).sum())
    return float((total / directions) ** (1 / p))


def unit_directions(count: int, d: int, seed: int) -> NDArray[np.float64]:
    """[count, d]: uniform on the unit sphere."""
    drawn = np.random.default_rng(seed).normal(size=(count, d))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def coupling(n: int, m: int) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """How n sorted numbers of weight 1/n are carried to m of weight 1/m, in the order of both.

    Of each piece: its weight, its row of the n and its row of the m; at most n + m − 1 pieces, whose weights sum to 1.
    Both quantile functions are steps, so that their difference is constant between the steps of either.
    """
    steps = np.unique(np.concatenate([np.arange(n + 1) * m, np.arange(m + 1) * n]))  # in units of 1 / (n m)
    return np.diff(steps) / (n * m), steps[:-1] // m, steps[:-1] // n


def _sorted_projections(rows: NDArray[Any], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, d] on [P, d] -> [P, n], each line in ascending order."""
    projected = np.empty((len(directions), len(rows)))
    for start in range(0, len(rows), ROWS):
        projected[:, start : start + ROWS] = directions @ rows[start : start + ROWS].astype(np.float64).T
    projected.sort(axis=1)
    return projected
