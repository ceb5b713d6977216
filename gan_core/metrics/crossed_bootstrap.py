"""Confidence intervals over two things at once that could have come out otherwise: trainings and test examples.

Of a table of answers, a row a training and a column a test example, both are drawn with replacement and apart from each
other (Owen 2007, "The pigeonhole bootstrap", arXiv:0712.1111).  Of S rows S − 1 are drawn (Rao & Wu 1988, "Resampling
inference with complex survey data"): S of them would show (S − 1) / S of the variance, too little for three rows.  One
row leaves the test examples alone in doubt.  The same draws serve every table, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError
from gan_core.metrics.intervals import Interval, refuse_level

Floats = NDArray[np.float64]
AT_ONCE = 2**22  # numbers of a block of draws: 32 MB


@dataclass(frozen=True)
class Drawn:
    """Resamples of tables of answers, group by group: [resamples, groups].

    hits: right answers of each table, the mean over its drawn rows.  examples: how many were drawn.
    """

    hits: Mapping[str, Floats]
    examples: Floats

    def share(self, name: str) -> Floats:
        """Of right answers among all examples, [resamples]."""
        return np.asarray(self.hits[name].sum(axis=1) / self.examples.sum(axis=1))

    def shares(self, name: str) -> Floats:
        """Of right answers in each group, [resamples, groups]; NaN where none of it was drawn."""
        there = self.examples > 0
        return np.asarray(np.divide(self.hits[name], self.examples, out=np.full(there.shape, np.nan), where=there))


def crossed(
    tables: Mapping[str, NDArray[np.bool_]], groups: NDArray[np.int64], *, resamples: int = 2000, seed: int = 0
) -> Drawn:
    """Tables of one shape, [rows, columns], drawn anew.  groups: [columns], 0 … G − 1, each of some column.

    The draws are a function of the shape, their number and the seed.  DataError for tables of nothing, or of other
    shapes than each other's.
    """
    rows, columns = next(iter(tables.values())).shape
    if not rows or not columns or any(table.shape != (rows, len(groups)) for table in tables.values()):
        raise DataError("answers are not a row for each training and a column for each test example, one of each at "
                        "least")
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(groups.max() + 1))
    right = {name: table[:, order].astype(np.float64) for name, table in tables.items()}
    blocks = [({name: _hits(table, starts, *drawn) for name, table in right.items()},
               np.add.reduceat(drawn[1], starts, axis=1)) for drawn in _draws(rows, columns, resamples, seed)]
    return Drawn({name: np.concatenate([hits[name] for hits, _ in blocks]) for name in tables},
                 np.concatenate([examples for _, examples in blocks]))


def _hits(right: Floats, starts: NDArray[np.int64], of_rows: Floats, of_columns: Floats) -> Floats:
    found = np.zeros((len(of_columns), len(starts)))
    for row, answers in enumerate(right):
        found += of_rows[:, [row]] * np.add.reduceat(of_columns * answers, starts, axis=1)
    return found


def _draws(rows: int, columns: int, resamples: int, seed: int) -> Iterator[tuple[Floats, Floats]]:
    """A few resamples at a time: each row's share among those drawn, [n, rows], and how often each column was, [n,
    columns].
    """
    draw, drawn_rows = np.random.default_rng(seed), max(1, rows - 1)
    step = max(1, AT_ONCE // columns)
    for start in range(0, resamples, step):
        n = min(step, resamples - start)
        of_rows = draw.multinomial(drawn_rows, np.full(rows, 1 / rows), n) / drawn_rows
        yield of_rows, draw.multinomial(columns, np.full(columns, 1 / columns), n).astype(np.float64)


def interval_of(values: Floats, level: float = 0.95) -> Interval:
    """Percentiles of a statistic over resamples, [resamples]; those without a value are left out."""
    refuse_level(level)
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level)
