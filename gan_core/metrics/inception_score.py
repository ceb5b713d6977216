"""The Inception Score, with the classes of any classifier (Salimans et al. 2016, arXiv:1606.03498, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from gan_core.errors import DataError
from gan_core.metrics.intervals import Interval
from gan_core.metrics.jackknife import jackknife_interval

SUM_TOLERANCE = 1e-3  # of float16 probabilities of a thousand classes


@dataclass(frozen=True)
class InceptionScore:
    """mean: over the parts, 1 … K.  deviation: over the parts, divided by their number; 0 for one part.

    interval: of the mean, by leaving out groups of images while the others stay in their parts; None for few.
    """

    mean: float
    deviation: float
    interval: Interval | None


def inception_score(probabilities: NDArray[Any], splits: int = 10, seed: int = 0) -> InceptionScore:
    """exp of the mean KL(p(y|x) ‖ p(y)) of each of `splits` parts, from class probabilities [n, K].

    p(y) is a part's own mean.  1 when every image looks alike to the classifier; K when each is surely of one class and
    the K classes are equally many.  Parts are drawn by the seed: generated images often lie sorted by class.  A part
    with few images scores too low, so compare only at equal n and splits.  Logits become probabilities by
    scipy.special.softmax(logits, axis=1).  DataError for what are no probabilities, and for fewer images than parts.
    """
    n = len(probabilities)
    if not _are_probabilities(probabilities):
        raise DataError(f"an array of shape {probabilities.shape} holds no class probabilities: [n, K], none below 0, "
                        "each row summing to 1; take the softmax of logits first")
    if not 1 <= splits <= n:
        raise DataError(f"{n} images do not make {splits} parts; splits={min(10, n)} works")
    parts = np.array_split(np.random.default_rng(seed).permutation(n), splits)
    scores = [_score(probabilities[part].astype(np.float64)) for part in parts]
    part_of = np.empty(n, np.int64)
    for number, part in enumerate(parts):
        part_of[part] = number

    def mean(rows: NDArray[Any], of: NDArray[np.int64]) -> float:
        return float(np.mean([_score(rows[of == number].astype(np.float64)) for number in np.unique(of)]))

    found = jackknife_interval(float(np.mean(scores)), mean, probabilities, part_of, seed=seed)
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)), found)


def _score(probabilities: NDArray[np.float64]) -> float:
    """rel_entr takes 0 log 0 as 0."""
    return float(np.exp(rel_entr(probabilities, probabilities.mean(axis=0)).sum(axis=1).mean()))


def _are_probabilities(given: NDArray[Any]) -> bool:
    if given.ndim != 2 or not given.size or not (given >= 0).all():
        return False
    return bool((abs(given.sum(axis=1, dtype=np.float64) - 1) <= SUM_TOLERANCE).all())
