"""The Fréchet distance, precision, recall, density and coverage of each class on its own.

The mean Fréchet distance over classes is the intra-class FID of Miyato & Koyama 2018, arXiv:1802.05637, section 4: a
conditional generator that mixes up its classes has a low FID and a high intra-class FID.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError
from gan_core.metrics.frechet import frechet_distance
from gan_core.metrics.jackknife import Jackknife, jackknife
from gan_core.metrics.moments import Moments
from gan_core.metrics.neighbours import Neighbours, neighbours

FEWEST = 10
FEWEST_OF_A_COVARIANCE = 2


@dataclass(frozen=True)
class OfClass:
    """One class.  n_real, n_fake: its examples.  fd, near: None where it was not measured, and then `reason` says why.

    fd is biased upwards, the more so the fewer examples a class has for the length of its features; compare it at equal
    counts only.
    """

    label: int
    n_real: int
    n_fake: int
    fd: float | None = None
    near: Neighbours | None = None
    reason: str | None = None


def per_class(
    real: NDArray[Any], real_labels: NDArray[np.int64], fake: NDArray[Any], fake_labels: NDArray[np.int64],
    *, k: int = 5, fewest: int = FEWEST,
) -> tuple[OfClass, ...]:
    """Every class that a label of either side names, in order, from features [n, d] and [m, d] of one network.

    fake_labels: [m], the classes that were asked for.  A class with fewer than `fewest` examples, or no more than k, on
    either side is there and not measured.  DataError when features and labels do not pair up.
    """
    for features, labels in ((real, real_labels), (fake, fake_labels)):
        if labels.shape != features.shape[:1] or features.ndim != 2:
            raise DataError(f"features {features.shape} and labels {labels.shape} do not pair up; give each row its "
                            "class")
    least = max(fewest, k + 1, FEWEST_OF_A_COVARIANCE)
    return tuple(
        _of_class(label, real[real_labels == label], fake[fake_labels == label], k, least)
        for label in np.union1d(real_labels, fake_labels).tolist())


def mean_fd(classes: Sequence[OfClass]) -> float:
    """The mean Fréchet distance of the classes that were measured.  DataError when none was."""
    known = [each.fd for each in classes if each.fd is not None]
    if not known:
        raise DataError("no class has enough examples to be measured on its own; raise evaluate.samples")
    return float(np.mean(known))


def mean_fd_spread(
    value: float, real: NDArray[Any], real_labels: NDArray[np.int64], fake: NDArray[Any],
    fake_labels: NDArray[np.int64], measured: Sequence[int], seed: int = 0,
) -> Jackknife | None:
    """How sure `mean_fd` is of the classes that were measured; None where a class is left with a single example."""

    def mean_of(some: NDArray[Any], of: NDArray[np.int64], others: NDArray[Any], of_others: NDArray[np.int64]) -> float:
        sides = [(some[of == label], others[of_others == label]) for label in measured]
        if min(len(each) for side in sides for each in side) < FEWEST_OF_A_COVARIANCE:
            return math.nan
        return float(np.mean([frechet_distance(Moments.of(x), Moments.of(y)) for x, y in sides]))

    return jackknife(value, mean_of, real, real_labels, fake, fake_labels, seed=seed)


def _of_class(label: int, real: NDArray[Any], fake: NDArray[Any], k: int, least: int) -> OfClass:
    n, m = len(real), len(fake)
    if min(n, m) < least:
        return OfClass(label, n, m, reason=f"{n} real and {m} generated examples; {least} of each are needed")
    return OfClass(label, n, m, frechet_distance(Moments.of(real), Moments.of(fake)), neighbours(real, fake, k))
