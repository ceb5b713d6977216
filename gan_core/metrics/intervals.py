"""How far a measured value may be off for want of examples: confidence intervals.

They say what another draw of as many examples would change, and nothing of another training run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from gan_core.errors import DataError


@dataclass(frozen=True)
class Interval:
    """low ≤ high.  level: the share of repetitions whose interval holds what is measured, such as 0.95."""

    low: float
    high: float
    level: float


def bootstrap_interval(
    statistic: Callable[..., float], *columns: NDArray[Any], level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Percentiles of `statistic(*columns)` over sets of examples drawn with replacement, seeded.

    Efron & Tibshirani 1993, "An introduction to the bootstrap", chapter 13.  columns: [n, …] each, drawn together: an
    example keeps its label.  For means, accuracies and scores of independent examples.  Not for what is read off the
    distances between examples, such as precision or coverage, where a repeated example would be its own neighbour:
    `share_interval` is for those.  DataError for columns of unlike or no length.
    """
    lengths = {len(column) for column in columns}
    if len(lengths) != 1 or 0 in lengths:
        raise DataError(f"columns of lengths {[len(column) for column in columns]} are not of the same examples")
    refuse_level(level)
    draw, n = np.random.default_rng(seed), lengths.pop()
    drawn = [draw.integers(0, n, n) for _ in range(resamples)]
    values = [statistic(*(column[rows] for column in columns)) for rows in drawn]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level)


def share_interval(share: float, n: int, level: float = 0.95) -> Interval:
    """Wilson's interval for a share of n examples: an accuracy, precision, recall or coverage; within 0 … 1.

    Wilson 1927, recommended by Brown, Cai & DasGupta 2001, "Interval estimation for a binomial proportion": right also
    for a share of 1, where resampling would see no doubt at all.  n: the examples that the share is of, which are
    generated ones for precision, real ones for recall and coverage; the other set is taken as given, so that it is too
    narrow by what that set's own draw would change.  DataError for what is no share.
    """
    refuse_level(level)
    if not 0 <= share <= 1 or n < 1:
        raise DataError(f"{share} of {n} is no share of examples; it is 0 to 1 of one or more")
    found = binomtest(round(share * n), n).proportion_ci(level, method="wilson")
    return Interval(float(found.low), float(found.high), level)


def refuse_level(level: float) -> None:
    """DataError for what is no level of an interval."""
    if not 0 < level < 1:
        raise DataError(f"level={level} is not between 0 and 1; level=0.95 works")
