"""The figures between two sets of features of which each is sure to a degree: distances, shares, density."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.metrics.few_examples import warning_of_few
from gan_core.metrics.figure import Figure, jackknifed, share
from gan_core.metrics.frechet import frechet_distance
from gan_core.metrics.frechet_interval import frechet_interval
from gan_core.metrics.intervals import Interval
from gan_core.metrics.jackknife import FEWEST, GROUPS, apart_interval, student_interval
from gan_core.metrics.kernel import kernel_distance, unbiased_mmd2
from gan_core.metrics.moments import Moments
from gan_core.metrics.neighbours import Neighbours
from gan_core.metrics.sliced_wasserstein import sliced_wasserstein

WIDE = 512  # features from which a distance takes so long that fewer groups are left out: a second at 2,048
GROUPS_OF_WIDE = 5
KERNEL_ROWS = 500  # of a group of the kernel distance's interval, at most
DIRECTIONS = 128  # of a group of the sliced distance's interval; the same ones in each

Features = NDArray[Any]


def frechet(real: Features, fake: Features, most: int) -> Figure:
    """The Fréchet distance of n and n examples, by `frechet_interval`, with a warning where n is small.

    most: how many examples of either there could be.
    """
    n, d = real.shape
    if min(n, len(fake)) < FEWEST:
        value = frechet_distance(Moments.of(real), Moments.of(fake))
        return Figure(value, warning=warning_of_few(n, d, None, samples=n, most=most))
    found = frechet_interval(real, fake, groups=GROUPS if d <= WIDE else GROUPS_OF_WIDE)
    return jackknifed(found.value, found.interval, lowest=0.0,
                      warning=warning_of_few(n, d, found.bias, samples=n, most=most))


def kernel(real: Features, fake: Features, *, subsets: int, subset_size: int, seed: int) -> Figure:
    """The kernel distance, with the spread of unbiased estimates of groups of at most 500 rows of both sides.

    Conservative: a group is judged by its own pairs alone, and where both sides are alike the variance of an estimate
    from m examples falls faster than 1 / m.  The groups take less time than the distance.
    """
    value = kernel_distance(real, fake, subsets=subsets, subset_size=subset_size, seed=seed)
    n = min(len(real), len(fake))

    def of_group(x: Features, y: Features) -> float:
        return unbiased_mmd2(x.astype(np.float64), y.astype(np.float64))

    groups = max(GROUPS, -(-n // KERNEL_ROWS))
    return jackknifed(value, apart_interval(value, of_group, real[:n], fake[:n], groups=groups, seed=seed))


def sliced(real: Features, fake: Features, seed: int) -> Figure:
    """The sliced Wasserstein distance, with the spread of its square over groups along 128 of its directions.

    Of the square, because few examples add about as much to it in every group, which a root would bend.  Conservative
    where both sides are alike, as for the kernel distance.
    """
    value = sliced_wasserstein(real, fake, seed=seed)

    def of_group(x: Features, y: Features) -> float:
        return sliced_wasserstein(x, y, directions=DIRECTIONS, seed=seed) ** 2

    n = min(len(real), len(fake))
    found = apart_interval(value**2, of_group, real[:n], fake[:n], seed=seed)
    roots = found and Interval(sqrt(max(0.0, found.low)), sqrt(found.high), found.level)
    return jackknifed(value, roots, lowest=0.0)


def nearby(near: Neighbours, name: str, n_real: int, n_fake: int) -> Figure:
    """`name` of precision (of generated examples), recall and coverage (of real ones), and density.

    Shares by Wilson's interval, density by Student's of its mean over generated examples; the other set is given.
    """
    value: float = getattr(near, name)
    if name != "density":
        return share(value, n_fake if name == "precision" else n_real)
    found = student_interval(value, near.density_error, n_fake) if n_fake >= FEWEST else None
    return jackknifed(value, found, lowest=0.0)
