"""A confidence interval for the Fréchet distance, by leaving groups of examples out in turn.

The delete-a-group jackknife: Kott 2001, Journal of Official Statistics 17 (4); Shao & Tu 1995, "The jackknife and
bootstrap", section 2.3.  The bootstrap is not used: repeated examples bend a covariance, and the distance grows by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from gan_core.errors import DataError
from gan_core.metrics.frechet import frechet_distance
from gan_core.metrics.intervals import Interval
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

    With θ_g the distance without group g of both sides, error² = (G − 1) / G Σ (θ_g − mean θ)², with Student's t of
    G − 1 degrees of freedom.  The interval is for the distance as measured with n and m examples, its bias included.
    It needs a distance that is clearly above 0: between sets that are alike the distance is all bias, and its spread
    no Gaussian.  Takes the time of G + 1 distances and the memory of some eight matrices [d, d].
    DataError for fewer than two groups, and for fewer than two examples a group.
    """
    if not 2 <= groups <= min(len(real), len(fake)) // 2:
        raise DataError(f"{len(real)} real and {len(fake)} generated examples do not make {groups} groups of two or "
                        "more; groups=10 and 20 examples of each work")
    if not 0 < level < 1:
        raise DataError(f"level={level} is not between 0 and 1; level=0.95 works")
    draw = np.random.default_rng(seed)
    dealt = [np.array_split(draw.permutation(len(side)), groups) for side in (real, fake)]
    whole_real, whole_fake = Moments.of(real), Moments.of(fake)
    value = frechet_distance(whole_real, whole_fake)
    left_out = np.array([
        frechet_distance(without(whole_real, Moments.of(real[some])), without(whole_fake, Moments.of(fake[others])))
        for some, others in zip(*dealt, strict=True)])
    error = float(np.sqrt((groups - 1) / groups * np.square(left_out - left_out.mean()).sum()))
    reach = float(t.ppf((1 + level) / 2, groups - 1)) * error
    return FrechetInterval(value, Interval(max(0.0, value - reach), value + reach, level), error,
                           bias=float((groups - 1) * (left_out.mean() - value)))


def without(whole: Moments, part: Moments) -> Moments:
    """The moments of the rows of `whole` that are not in `part`: what `merge` undoes."""
    n = whole.n - part.n
    mean = whole.mean + (whole.mean - part.mean) * (part.n / n)
    apart = part.mean - mean
    return Moments(n, mean, whole.scatter - part.scatter - np.outer(apart, apart) * (n * part.n / whole.n))
