"""Confidence intervals from what a figure becomes without some of its examples.

The delete-a-group jackknife: Kott 2001, Journal of Official Statistics 17 (4); Shao & Tu 1995, "The jackknife and
bootstrap", section 2.3.  The bootstrap is not used: a repeated example is its own neighbour and bends a covariance.
All intervals are value ± t · error, so that a value always lies within its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from gan_core.errors import DataError
from gan_core.metrics.intervals import Interval, refuse_level

GROUPS = 10
FEWEST = 20  # examples from which there is an interval: two a group

Statistic = Callable[..., float]


@dataclass(frozen=True)
class Jackknife:
    """error: the figure's standard error.  bias: how far it is expected above that of endless examples, where that
    falls as 1 / n.
    """

    interval: Interval
    error: float
    bias: float


def jackknife_interval(
    value: float, statistic: Statistic, *columns: NDArray[Any], groups: int = GROUPS, level: float = 0.95, seed: int = 0
) -> Interval | None:
    """The interval of `jackknife`, where it finds one."""
    found = jackknife(value, statistic, *columns, groups=groups, level=level, seed=seed)
    return None if found is None else found.interval


def jackknife(
    value: float, statistic: Statistic, *columns: NDArray[Any], groups: int = GROUPS, level: float = 0.95, seed: int = 0
) -> Jackknife | None:
    """value ± t · error, value being statistic(*columns), by leaving out each group of examples in turn.

    columns: [n, …] each; those of one length are dealt into groups together, so that an example keeps its label, others
    apart.  Search for neighbours, fit and judge before: `statistic` is evaluated `groups` times, on what is left of the
    columns.  None for columns of fewer than two examples a group, and where a figure without a group is not finite.
    DataError for fewer than two groups and for no column.
    """
    if groups < 2 or not columns:
        raise DataError(f"groups={groups} of {len(columns)} columns leave nothing out; groups=10 and a column work")
    if min(map(len, columns)) < 2 * groups:
        return None
    dealt = {n: deal(n, groups, seed) for n in {len(column) for column in columns}}
    left_out = [statistic(*(column[dealt[len(column)] != group] for column in columns)) for group in range(groups)]
    return jackknifed(value, left_out, level) if np.isfinite(left_out).all() else None


def jackknifed(value: float, left_out: Sequence[float] | NDArray[np.float64], level: float = 0.95) -> Jackknife:
    """From the figure of all examples and those without each of G groups, θ_g.

    error² = (G − 1) / G Σ (θ_g − mean θ)², with Student's t of G − 1 degrees of freedom; bias (G − 1) (mean θ − value).
    """
    found = np.asarray(left_out, np.float64)
    groups = len(found)
    error = float(np.sqrt((groups - 1) / groups * np.square(found - found.mean()).sum()))
    return Jackknife(student_interval(value, error, groups, level), error, float((groups - 1) * (found.mean() - value)))


def apart_interval(
    value: float, statistic: Statistic, *columns: NDArray[Any], groups: int = GROUPS, level: float = 0.95, seed: int = 0
) -> Interval | None:
    """value ± t · s / √G, s being the deviation of statistic(*columns) over G groups of examples, each by itself.

    All groups together take no longer than the whole; a statistic of all pairs takes a G-th of that.  It is the
    jackknife of the mean over groups, and conservative for a statistic whose variance falls faster than 1 / n, as that
    of an unbiased MMD² between like sets.  columns: [n, …] each, dealt together.  None where n is below 2 G.
    """
    n = len(columns[0])
    if n < 2 * groups:
        return None
    dealt = deal(n, groups, seed)
    found = [statistic(*(column[dealt == group] for column in columns)) for group in range(groups)]
    return student_interval(value, float(np.std(found, ddof=1)) / math.sqrt(groups), groups, level)


def mean_interval(each: NDArray[Any], level: float = 0.95) -> Interval | None:
    """Student's interval of the mean of independent figures [n]: the jackknife that leaves out one example at a time.

    None for fewer than 20.
    """
    n = len(each)
    if n < FEWEST:
        return None
    return student_interval(float(each.mean()), float(each.std(ddof=1)) / math.sqrt(n), n, level)


def student_interval(value: float, error: float, n: int, level: float = 0.95) -> Interval:
    """value ± t · error, of n − 1 degrees of freedom.  DataError for a level that is none."""
    refuse_level(level)
    reach = float(t.ppf((1 + level) / 2, n - 1)) * error
    return Interval(value - reach, value + reach, level)


def deal(n: int, groups: int, seed: int) -> NDArray[np.int64]:
    """[n]: the group of each example, as many in each as can be, by the seed."""
    return np.random.default_rng(seed).permutation(n) % groups
