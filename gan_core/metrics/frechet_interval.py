"""A confidence interval for the Fréchet distance, by leaving groups of examples out in turn.

The delete-a-group jackknife (gan_core.metrics.jackknife) on moments, from which a group is taken away again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError
from gan_core.metrics.frechet import frechet_distance
from gan_core.metrics.intervals import Interval, refuse_level
from gan_core.metrics.jackknife import jackknifed
from gan_core.metrics.moments import Moments


@dataclass(frozen=True)
class FrechetInterval:
    """value: the distance.  interval: where other draws of as many examples would put it.  error: its standard error.
    bias: how far the value is expected above that of endless examples, where that falls as 1 / n (Chong & Forsyth 2020,
    arXiv:1911.07023).
    """

    value: float
    interval: Interval
    error: float
    bias: float


def frechet_interval(
    real: NDArray[Any], fake: NDArray[Any], *, groups: int = 10, level: float = 0.95, seed: int = 0
) -> FrechetInterval:
    """value ± t · error, at least 0, of real [n, d] and generated features [m, d], each dealt into groups by the seed.

    Group g of both sides is left out in turn.  The interval is for the distance as measured with n and m examples, its
    bias included.  It needs a distance that is clearly above 0: between sets that are alike the distance is all bias,
    and its spread no Gaussian.  Takes the time of G + 1 distances and the memory of some eight matrices [d, d].
    DataError for fewer than two groups, and for fewer than two examples a group.
    """
    if not 2 <= groups <= min(len(real), len(fake)) // 2:
        raise DataError(f"{len(real)} real and {len(fake)} generated examples do not make {groups} groups of two or "
                        "more; groups=10 and 20 examples of each work")
    refuse_level(level)
    draw = np.random.default_rng(seed)
    dealt = [np.array_split(draw.permutation(len(side)), groups) for side in (real, fake)]
    whole_real, whole_fake = Moments.of(real), Moments.of(fake)
    value = frechet_distance(whole_real, whole_fake)
    found = jackknifed(value, [
        frechet_distance(without(whole_real, Moments.of(real[some])), without(whole_fake, Moments.of(fake[others])))
        for some, others in zip(*dealt, strict=True)], level)
    interval = replace(found.interval, low=max(0.0, found.interval.low))
    return FrechetInterval(value, interval, found.error, found.bias)


def without(whole: Moments, part: Moments) -> Moments:
    """The moments of the rows of `whole` that are not in `part`: what `merge` undoes."""
    n = whole.n - part.n
    mean = whole.mean + (whole.mean - part.mean) * (part.n / n)
    apart = part.mean - mean
    return Moments(n, mean, whole.scatter - part.scatter - np.outer(apart, apart) * (n * part.n / whole.n))
