"""How often a generator makes each class, against how often real data has it.

With the modes of stacked MNIST for classes this is the figure of Metz et al. 2017, arXiv:1611.02163, section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from gan_core.errors import DataError
from gan_core.metrics.intervals import Interval
from gan_core.metrics.jackknife import jackknife_interval


@dataclass(frozen=True)
class ClassHistogram:
    """kl: Σ q log(q / p) in nats, q of generated and p of real examples; 0 for equal shares, and infinite where a class
    is generated that the real examples do not have.  generated, real: examples of each class.  interval: of kl; None
    for few examples, and where it is infinite without some of them.
    """

    kl: float
    generated: tuple[int, ...]
    real: tuple[int, ...]
    interval: Interval | None

    @property
    def missing(self) -> tuple[int, ...]:
        """Classes that real data has and the generator never makes."""
        return tuple(c for c, (q, p) in enumerate(zip(self.generated, self.real, strict=True)) if p and not q)


def class_histogram(generated: NDArray[np.int64], real: NDArray[np.int64], classes: int) -> ClassHistogram:
    """Compares the classes [m] that a classifier sees in generated images with the labels [n] of real ones.

    A class that is never generated adds 0 (0 log 0) and shows in the others' shares; nothing is added to the counts.  A
    classifier makes mistakes of its own: take `real` as read by it, too, for the figure without them.
    DataError for labels outside 0 … classes − 1, and for none.
    """
    counts = [_counts(labels, classes) for labels in (generated, real)]
    kl = _divergence(*counts)

    def divergence(some: NDArray[np.int64], others: NDArray[np.int64]) -> float:
        return _divergence(_counts(some, classes), _counts(others, classes))

    found = jackknife_interval(kl, divergence, generated, real) if np.isfinite(kl) else None
    made, there = (tuple(each.tolist()) for each in counts)
    return ClassHistogram(kl, made, there, found)


def _divergence(generated: NDArray[np.int64], real: NDArray[np.int64]) -> float:
    return max(0.0, float(rel_entr(generated / generated.sum(), real / real.sum()).sum()))


def _counts(labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    if labels.ndim != 1 or not labels.size or labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"labels of shape {labels.shape} are not one or more of 0 to {classes - 1}, one an example")
    return np.bincount(labels, minlength=classes)
