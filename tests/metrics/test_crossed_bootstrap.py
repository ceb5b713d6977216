"""Intervals over trainings and test examples, beside what is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from gan_core.errors import DataError
from gan_core.metrics.crossed_bootstrap import Drawn, crossed, interval_of

MANY = 20_000


def answers(seed: int, *shape: int, share: float = 0.8) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < share


def drawn(table: np.ndarray, groups: np.ndarray | None = None, **options: int) -> Drawn:
    return crossed({"one": table}, np.zeros(table.shape[1], np.int64) if groups is None else groups, **options)


def test_of_one_training_the_interval_is_the_binomials() -> None:
    table = answers(0, 1, 400)
    shares, p = drawn(table, resamples=MANY).share("one"), table.mean()
    deviation = np.sqrt(p * (1 - p) / 400)
    assert shares.mean() == pytest.approx(p, abs=0.001)
    assert shares.std() == pytest.approx(deviation, rel=0.03)
    interval = interval_of(shares)
    assert (interval.low, interval.high) == pytest.approx((p - 1.96 * deviation, p + 1.96 * deviation), abs=0.004)


@pytest.mark.parametrize("rows", [2, 3, 8])
def test_trainings_alone_in_doubt_have_the_variance_of_their_mean(rows: int) -> None:
    """Each training right in all examples or in none: the variance of the mean is s² / S, s² that of the sample."""
    right = np.arange(rows) < rows - 1
    shares = drawn(np.repeat(right[:, None], 5, axis=1), resamples=MANY).share("one")
    assert shares.var() == pytest.approx(right.astype(float).var(ddof=1) / rows, rel=0.05)


def test_a_difference_is_paired() -> None:
    """McNemar 1947: of b answers that only one has right and c that only the other, the variance is
    (b + c − (b − c)² / n) / n²."""
    one = answers(0, 1, 500)
    other = one.copy()
    other[0, :40] = ~other[0, :40]
    both = crossed({"one": one, "other": other, "again": one}, np.zeros(500, np.int64), resamples=MANY)
    assert not (both.share("one") - both.share("again")).any()
    b, c = int((one & ~other).sum()), int((other & ~one).sum())
    difference = both.share("one") - both.share("other")
    assert difference.var() == pytest.approx((b + c - (b - c) ** 2 / 500) / 500**2, rel=0.05)


def test_groups_have_their_own_shares_and_add_up_to_all() -> None:
    table, groups = answers(3, 3, 90), np.arange(90) % 3
    table[:, groups == 1] = True
    found = drawn(table, groups, resamples=200)
    assert (found.shares("one")[:, 1] == 1).all()
    np.testing.assert_allclose((found.shares("one") * found.examples).sum(axis=1) / 90, found.share("one"))
    assert (found.examples.sum(axis=1) == 90).all()


def test_a_group_that_was_not_drawn_has_no_share_and_is_left_out() -> None:
    shares = drawn(np.ones((1, 3), bool), np.array([0, 0, 1]), resamples=500).shares("one")[:, 1]
    assert np.isnan(shares).any()
    assert interval_of(shares) == interval_of(np.ones(3))


def test_the_draws_are_those_of_the_seed() -> None:
    table = answers(1, 3, 50)
    first = drawn(table, resamples=40).share("one")
    np.testing.assert_array_equal(first, drawn(table, resamples=40).share("one"))
    assert (first != drawn(table, resamples=40, seed=1).share("one")).any()


@pytest.mark.parametrize("shape", [(0, 5), (2, 0), (2, 4)])
def test_tables_that_do_not_fit_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="a row for each training"):
        crossed({"one": np.ones(shape, bool)}, np.zeros(5, np.int64))
