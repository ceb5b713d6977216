"""Whether a generator draws the class it is asked for, judged by a classifier that knows only real images."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError

MOST_TRAINING = 10_000  # an SVC's time grows with the square of its training set
BATCH = 1000  # generated images brought to float64 at a time

Classify = Callable[[NDArray[np.uint8]], NDArray[np.int64]]


def class_agreement(read: NDArray[np.int64], requested: NDArray[np.int64]) -> float:
    """Share of images that are read, by `classifier`, as the class that was requested, 0 … 1.  [n], [n]

    DataError when images and classes do not pair up.
    """
    if len(read) != len(requested) or not len(read):
        raise DataError(f"{len(read)} generated images and {len(requested)} requested classes do not pair up; generate "
                        "one image for each requested class")
    return float((read == requested).mean())


def classifier(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Classify:
    """Puts images into the classes [n] of these real ones [n, C, H, W].

    Scikit-learn's SVC with its RBF kernel on pixels scaled to [0, 1], fitted to `training_subset`, without randomness.
    """
    chosen = training_subset(len(labels))
    known = labels[chosen]
    if (known == known[0]).all():  # an SVC refuses a set with one class; there is nothing to tell apart
        return lambda others: np.full(len(others), known[0])
    from sklearn.svm import SVC  # takes a second to import

    pixels = _scaled(images[chosen])
    fitted = SVC(gamma=1 / (pixels.shape[1] * (pixels.var() or 1.0)))  # what it takes by itself, said to be known
    fitted.fit(pixels, known)

    def classify(others: NDArray[np.uint8]) -> NDArray[np.int64]:
        starts = range(0, len(others), BATCH)
        return np.concatenate([decided(fitted, _scaled(others[start : start + BATCH])) for start in starts])

    return classify


def decided(fitted: Any, pixels: NDArray[np.float64]) -> NDArray[np.int64]:
    """The class of each row, [n, d] to [n]: `fitted.predict` of an SVC with an RBF kernel, by matrix products.

    libsvm takes one distance after another, and five times as long.  Each pair of classes has one vote; of equally many
    votes the first class has them (Chang & Lin 2011, LIBSVM, section 7).
    """
    vectors, weights = fitted.support_vectors_, fitted.dual_coef_
    apart = np.square(pixels).sum(axis=1)[:, None] + np.square(vectors).sum(axis=1) - 2 * pixels @ vectors.T
    kernel = np.exp(-fitted.gamma * np.maximum(apart, 0))
    classes: NDArray[np.int64] = np.asarray(fitted.classes_, np.int64)
    if len(classes) == 2:  # scikit-learn turns the signs round where there is one pair alone
        second: NDArray[np.int64] = classes[(kernel @ weights[0] + fitted.intercept_[0] > 0).astype(np.int64)]
        return second
    ends = np.cumsum(fitted.n_support_)
    of = [slice(end - count, end) for end, count in zip(ends, fitted.n_support_, strict=True)]
    votes = np.zeros((len(pixels), len(classes)), np.int64)
    for (a, b), bias in zip(combinations(range(len(classes)), 2), fitted.intercept_, strict=True):
        first = kernel[:, of[a]] @ weights[b - 1, of[a]] + kernel[:, of[b]] @ weights[a, of[b]] + bias > 0
        votes[:, a] += first
        votes[:, b] += ~first
    chosen: NDArray[np.int64] = classes[votes.argmax(axis=1)]
    return chosen


def training_subset(n: int) -> NDArray[np.int64]:
    """Indices of all n examples, or of 10,000 spread evenly over them: classes may lie sorted."""
    return np.arange(n) if n <= MOST_TRAINING else np.arange(MOST_TRAINING) * n // MOST_TRAINING


def _scaled(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[n, C, H, W] uint8 to [n, C · H · W] in [0, 1]."""
    return images.reshape(len(images), -1) / 255.0
