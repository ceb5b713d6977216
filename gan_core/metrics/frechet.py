"""The Fréchet distance between two sets of features, each taken as a Gaussian.

Heusel et al. 2017, arXiv:1706.08500; with Inception features it is FID.  Closed form: Dowson & Landau 1982.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gan_core.metrics.moments import Moments, refuse_unlike


def frechet_distance(a: Moments, b: Moments) -> float:
    """|μa − μb|² + tr Σa + tr Σb − 2 tr (Σa Σb)^½, at least 0; in squared units of the features.

    The last trace is the sum of the roots of the eigenvalues of √Σa Σb √Σa, which is symmetric where Σa Σb is
    not.  Rounding may put an eigenvalue that is 0 below 0, where it counts as 0; nothing is added to the
    diagonal, so fewer examples than dimensions give a finite and unbent result.  DataError when a or b has a
    single row, or their features differ in length.
    """
    refuse_unlike(a, b)
    first, second = a.covariance, b.covariance
    root = _square_root(first)
    product = root @ second @ root
    overlap = _roots(np.linalg.eigvalsh((product + product.T) / 2)).sum()
    apart = a.mean - b.mean
    return max(0.0, float(apart @ apart + np.trace(first) + np.trace(second) - 2 * overlap))


def _square_root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric root R of a positive semi-definite matrix: R R = covariance.  [d, d] -> [d, d]"""
    values, vectors = np.linalg.eigh(covariance)
    root: NDArray[np.float64] = (vectors * _roots(values)) @ vectors.T
    return root


def _roots(eigenvalues: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.maximum(eigenvalues, 0.0)), np.float64)
