"""The Fréchet distance between two sets of features, each taken as a Gaussian.

Heusel et al. 2017, arXiv:1706.08500; with Inception features it is FID.  Closed form: Dowson & Landau 1982.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError
from gan_core.metrics.moments import Moments, refuse_unlike


def frechet_distance(a: Moments, b: Moments) -> float:
    """|μa − μb|² + tr Σa + tr Σb − 2 tr (Σa Σb)^½, at least 0; in squared units of the features.

    Nothing is added to a diagonal, so fewer examples than dimensions give a finite and unbent result.
    DataError when a or b has a single row, when their features differ in length, and when they are too large
    for float64 to hold their squares.
    """
    refuse_unlike(a, b)
    fewer, more = sorted((a, b), key=lambda side: side.n)
    first, second = fewer.covariance, more.covariance
    apart = a.mean - b.mean
    spreads = float(np.trace(first)), float(np.trace(second))
    if not math.isfinite(spreads[0] * spreads[1]):
        raise DataError(f"features whose variances add up to {spreads[0]:.3g} and {spreads[1]:.3g} are too large to "
                        "compare; look for what makes them so in their network, or scale them down")
    return max(0.0, float(apart @ apart) + sum(spreads) - 2 * trace_of_root(first, second))


def trace_of_root(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """tr (Σa Σb)^½ of two covariances [d, d]; most exact where the first has the lower rank, if either has.

    With Σa = F Fᵀ, F: [d, rank], the eigenvalues of Σa Σb other than 0 are those of Fᵀ Σb F, which is symmetric.  F is
    the Cholesky factor with complete pivoting (Higham 2002, "Accuracy and Stability of Numerical Algorithms", 10.3):
    it ends at the rank instead of failing there, and keeps the small directions to their own precision, where a root
    by eigenvectors has the error of the largest in all of them.
    """
    from scipy.linalg import eigvalsh, lapack  # takes a third of a second to import

    # A symmetric array's transpose is itself in the order of columns that LAPACK takes without a copy.
    factor, pivots, rank, _ = lapack.dpstrf(first.T, lower=1)
    factor[:, rank:] = 0  # what was left to factor, below the rounding of the rest
    order = pivots - 1
    product, _ = lapack.dsygst(second[np.ix_(order, order)].T, factor, itype=2, lower=1, overwrite_a=1)
    eigenvalues = eigvalsh(product[:rank, :rank], driver="evd", overwrite_a=True, check_finite=False)
    return float(np.sqrt(np.maximum(eigenvalues, 0.0)).sum())  # rounding may put a 0 below 0
