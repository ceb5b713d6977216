"""How well anomaly scores tell abnormal images from normal ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError
from gan_core.metrics.figure import Figure, jackknifed, share
from gan_core.metrics.jackknife import jackknife_interval

Scores = NDArray[np.float64]


def detection(abnormal: Scores, normal: Scores, threshold: float | None, seed: int) -> dict[str, Figure]:
    """ROC-AUC, average precision and, with a threshold, what is above it, of scores [m] and [n].

    DataError for none of either kind, and for scores that are not finite.
    """
    if not len(abnormal) or not len(normal):
        raise DataError(f"{len(abnormal)} abnormal and {len(normal)} normal examples: it takes some of each to tell "
                        "them apart; another prepare.normal, or evaluate.split=test, works")
    if not (np.isfinite(abnormal).all() and np.isfinite(normal).all()):
        raise DataError("anomaly scores are not finite; take an earlier checkpoint, or lower learning rates")
    found = {}
    for name, statistic in (("anomaly_auc", roc_auc), ("anomaly_precision", average_precision)):
        value = statistic(abnormal, normal)
        interval = jackknife_interval(value, statistic, abnormal, normal, seed=seed)
        found[name] = jackknifed(value, interval, lowest=0.0, highest=1.0)
    if threshold is not None:
        found["anomaly_threshold"] = Figure(threshold)
        found["anomaly_found"] = share(float((abnormal > threshold).mean()), len(abnormal))
        found["anomaly_false_alarms"] = share(float((normal > threshold).mean()), len(normal))
    return found


def threshold_of(normal: Scores, quantile: float) -> float:
    """The score that this share of normal examples is at or below.  DataError for none, or no share."""
    if not len(normal) or not 0 < quantile < 1:
        raise DataError(f"the {quantile:g} quantile of {len(normal)} scores is none; 0.95 of one or more works")
    return float(np.quantile(normal, quantile, method="higher"))


def roc_auc(positive: NDArray[Any], negative: NDArray[Any]) -> float:
    """Area under the ROC curve: the share of pairs in which the positive one is higher, a tie counting half."""
    from sklearn.metrics import roc_auc_score  # takes a second to import

    return float(roc_auc_score(*_told_apart(positive, negative)))


def average_precision(positive: NDArray[Any], negative: NDArray[Any]) -> float:
    """Mean precision over the ranks of the positive ones, best first; by chance their share of all."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(*_told_apart(positive, negative)))


def _told_apart(positive: NDArray[Any], negative: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return (np.r_[np.ones(len(positive)), np.zeros(len(negative))],
            np.concatenate([positive, negative]).astype(np.float64))
