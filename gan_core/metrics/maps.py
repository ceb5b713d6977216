"""Real and generated examples as points of a plane: what a generator leaves out, or makes too much of, can be seen.

Two maps of the features of both sets together: principal components, on which distances mean what they mean in the
features; and t-SNE (van der Maaten & Hinton 2008, JMLR 9), which keeps neighbours together and no distance besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError

MOST = 400  # of each set: t-SNE of twice as many takes about two seconds on one core
FEWEST = 20  # of both together, below which a map shows nothing
PERPLEXITY = 30.0
ITERATIONS = 500

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Map:
    """real: [n, 2].  fake: [m, 2]."""

    real: Points
    fake: Points


@dataclass(frozen=True, eq=False)
class Maps:
    """explained: the shares of the variance of both sets together that lie along the two axes of `pca`, 0 … 1."""

    pca: Map
    tsne: Map
    explained: tuple[float, float]


def maps(real: NDArray[Any], fake: NDArray[Any], *, most: int = MOST, seed: int = 0) -> Maps:
    """Maps of features [n, d] and [m, d] of one network, d ≥ 2; of more than `most` of a set, of as many spread evenly.

    Equal features give equal maps on one machine: one thread, and a seed.  t-SNE begins at the principal components and
    takes a perplexity of 30, or of a third of the points where they are few.  DataError for unlike features, for fewer
    than 20 points, and for points that are all the same.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1] or real.shape[1] < 2:
        raise DataError(f"features of shapes {real.shape} and {fake.shape} make no map; take both as [n, d], d ≥ 2, "
                        "from the same network")
    chosen = [rows[evenly(len(rows), most)].astype(np.float64) for rows in (real, fake)]
    points = np.concatenate(chosen)
    if len(points) < FEWEST:
        raise DataError(f"{len(points)} points make no map; {FEWEST} do")
    if (points == points[0]).all():
        raise DataError("all features are the same, which makes no map; see whether the images are")
    from sklearn.decomposition import PCA  # takes a second to import
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    with threadpool_limits(1):  # sums are taken in one order, however many cores there are
        principal = PCA(2, svd_solver="full").fit(points)
        flat = principal.transform(points)
        near = TSNE(2, perplexity=perplexity, init="pca", max_iter=ITERATIONS, random_state=seed,
                    n_jobs=1).fit_transform(points).astype(np.float64)
    first, second = (float(share) for share in principal.explained_variance_ratio_)
    n = len(chosen[0])
    return Maps(Map(flat[:n], flat[n:]), Map(near[:n], near[n:]), (first, second))


def evenly(n: int, most: int) -> NDArray[np.int64]:
    """Indices of all n rows, or of `most` spread evenly over them: classes may lie sorted."""
    return np.arange(n) if n <= most else np.arange(most) * n // most
