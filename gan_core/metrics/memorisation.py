"""Whether generated examples lie nearer to the training set than fresh real ones do: data copying.

Meehan, Chaudhuri & Dasgupta 2020, "A non-parametric test to detect data-copying in generative models",
arXiv:2004.05675: the statistic C_T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from gan_core.errors import DataError
from gan_core.metrics.agreement import training_subset
from gan_core.metrics.intervals import Interval
from gan_core.metrics.jackknife import jackknife_interval
from gan_core.metrics.nearest import nearest

FEWEST = 20  # held-out and generated examples of a cell; with fewer the normal approximation is poor

Distances = NDArray[np.float64]
Cells = NDArray[np.int64]


@dataclass(frozen=True)
class Memorisation:
    """score: C_T, about standard normal or narrower for fresh real data; well below 0 (−3) for copies, well above for
    examples farther from the training set than real ones.  nearer: probability that a generated example is nearer to
    the training set than a held-out one, a tie counting half, over all of both; 0.5 for fresh real data.
    by_cell: z of each cell that was measured; None where a side has fewer than 20 examples.  interval: of the score, by
    leaving out groups of held-out and generated examples, training set and cells given; None for few.
    """

    score: float
    nearer: float
    by_cell: tuple[float | None, ...]
    interval: Interval | None


def memorisation(
    train: NDArray[Any], held_out: NDArray[Any], generated: NDArray[Any], *, cells: int = 10, seed: int = 0
) -> Memorisation:
    """C_T from features or pixels of the training set [n, d], of real examples not trained on [p, d], and generated
    ones [q, d].

    Space is cut into cells by k-means of the training set (of 10,000 rows spread evenly over it, seeded), as copies of
    some of it hide in the whole.  In each cell the distances of generated and held-out examples to the nearest of all
    training examples are compared by `copying_z`; C_T is the mean of z, weighted by the cells' held-out examples.
    DataError for unlike features, and when no cell has 20 of either.
    """
    of_held_out, of_generated = nearest(held_out, train).distances, nearest(generated, train).distances
    where_held_out, where_generated = _cells(train, (held_out, generated), cells, seed)
    columns = of_held_out, where_held_out, of_generated, where_generated
    by_cell = [_of_cell(cell, *columns, FEWEST) for cell in range(cells)]
    measured = [cell for cell in range(cells) if by_cell[cell] is not None]
    if not measured:
        raise DataError(f"none of {cells} cells has {FEWEST} held-out and {FEWEST} generated examples; take more of "
                        "them, or cells=1")
    score = partial(_score, measured)
    value = score(*columns)
    found = jackknife_interval(value, score, *columns, seed=seed)
    return Memorisation(value, 1 - _u(of_held_out, of_generated) / (len(held_out) * len(generated)), tuple(by_cell),
                        found)


def _score(measured: Sequence[int], real: Distances, real_cell: Cells, fake: Distances, fake_cell: Cells) -> float:
    """The mean of z over the cells that are measured, weighted by their held-out examples."""
    of_each = [_of_cell(cell, real, real_cell, fake, fake_cell, 1) for cell in measured]
    weights = [0 if z is None else int((real_cell == cell).sum()) for cell, z in zip(measured, of_each, strict=True)]
    return float(np.average([z or 0.0 for z in of_each], weights=weights))


def _of_cell(
    cell: int, real: Distances, real_cell: Cells, fake: Distances, fake_cell: Cells, fewest: int
) -> float | None:
    """z of one cell; None where a side has fewer than that."""
    here, there = real[real_cell == cell], fake[fake_cell == cell]
    return copying_z(here, there) if min(len(here), len(there)) >= fewest else None


def copying_z(held_out: Distances, generated: Distances) -> float:
    """Mann and Whitney's U of two sets of distances, [p] and [q], as a standard normal z corrected for ties.

    U counts the pairs of which the generated example is farther: z < 0 where generated ones are nearer.  0 where all
    distances are equal.
    """
    p, q = len(held_out), len(generated)
    _, ties = np.unique(np.concatenate([held_out, generated]), return_counts=True)
    n = p + q
    variance = p * q / 12 * (n + 1 - (ties.astype(np.float64) ** 3 - ties).sum() / (n * (n - 1)))
    return float((_u(held_out, generated) - p * q / 2) / np.sqrt(variance)) if variance > 0 else 0.0


def _u(held_out: Distances, generated: Distances) -> float:
    """Pairs of which the generated example is farther, a tie counting half."""
    ranks = rankdata(np.concatenate([held_out, generated]))[len(held_out) :]
    return float(ranks.sum() - len(generated) * (len(generated) + 1) / 2)


def _cells(
    train: NDArray[Any], others: tuple[NDArray[Any], ...], cells: int, seed: int
) -> list[Cells]:
    """Which cell each row of `others` lies in."""
    if cells == 1:
        return [np.zeros(len(rows), np.int64) for rows in others]
    from sklearn.cluster import KMeans  # takes a second to import

    if len(train) < cells:
        raise DataError(f"{len(train)} training examples do not make {cells} cells; cells=1 works")
    known = train[training_subset(len(train))].astype(np.float32)
    fitted = KMeans(cells, n_init=1, random_state=seed).fit(known)
    return [np.asarray(fitted.predict(rows.astype(np.float32)), np.int64) for rows in others]
