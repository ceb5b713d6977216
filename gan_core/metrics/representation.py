"""What features say of examples: how well a linear rule reads the classes off them, and how far they spread."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError

ITERATIONS = 1000


def linear_probe(
    train: NDArray[Any], train_labels: NDArray[np.int64], test: NDArray[Any], test_labels: NDArray[np.int64]
) -> float:
    """Share of test rows [m, d] that a logistic regression of train rows [n, d] puts into their class, 0 … 1.

    Alain & Bengio 2016, arXiv:1610.01644.  scikit-learn's, with its own penalty (C = 1) on features that are brought to
    mean 0 and deviation 1 by the train rows; it has no randomness, and stops after 1,000 iterations at the latest.
    DataError when rows and labels do not pair up, for unlike features, and when train has a single class.
    """
    for rows, labels in ((train, train_labels), (test, test_labels)):
        if rows.ndim != 2 or not rows.size or labels.shape != rows.shape[:1]:
            raise DataError(f"features {rows.shape} and labels {labels.shape} do not pair up; give each row its class")
    if train.shape[1] != test.shape[1]:
        raise DataError(f"features of {train.shape[1]} and of {test.shape[1]} numbers cannot be compared; "
                        "take both from the same network")
    if (train_labels == train_labels[0]).all():
        raise DataError("the training examples are all of one class; a probe needs two to tell apart")
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression  # takes a second to import

    centre, spread = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    scale = np.where(spread > 0, spread, 1.0)
    fitted = LogisticRegression(max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "lbfgs failed to converge", ConvergenceWarning)
        fitted.fit((train - centre) / scale, train_labels)
    return float((fitted.predict((test - centre) / scale) == test_labels).mean())


def feature_diversity(features: NDArray[Any]) -> float:
    """Mean over all unlike pairs of rows [n, d] of |u − v|², u and v the rows divided by their lengths; 0 … 4.

    That is 2 − 2 cos of the angle between two examples, 2 where directions have nothing in common and 0 where all
    examples look alike to the network.  It is LPIPS without its maps and learned weights (Zhang et al. 2018,
    arXiv:1801.03924, squares the distance of unit vectors, too): one vector an example.  Features are taken as they
    are, so that an offset common to all makes them look alike: the figure of real examples is the yardstick.
    Exact over all n (n − 1) / 2 pairs in one pass.  DataError for fewer than two rows and for a row of length 0.
    """
    if features.ndim != 2 or len(features) < 2:
        raise DataError(f"features of shape {features.shape} have no pairs; give [n, d], two rows or more")
    rows = features.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (lengths > 0).all() or not np.isfinite(lengths).all():
        raise DataError("a row of features is 0 or not finite, so that it has no direction; take another network")
    n, mean = len(rows), (rows / lengths).mean(axis=0)
    return max(0.0, float(2 * n / (n - 1) * (1 - mean @ mean)))
