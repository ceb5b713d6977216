"""Confidence intervals: closed forms, and that they hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap, norm

from gan_core.errors import DataError
from gan_core.metrics.intervals import bootstrap_interval, share_interval


def accuracy(found: np.ndarray, asked: np.ndarray) -> float:
    return float((found == asked).mean())


def test_the_interval_of_a_mean_is_that_of_scipy():
    values = np.random.default_rng(0).exponential(size=80)
    expected = bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=1).confidence_interval
    found = bootstrap_interval(np.mean, values, resamples=4000)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.02)


def test_it_holds_the_mean_of_a_gaussian_as_often_as_it_says():
    draw = np.random.default_rng(1)
    found = [bootstrap_interval(np.mean, draw.normal(size=60), level=0.9, resamples=200, seed=k) for k in range(500)]
    held = np.mean([interval.low <= 0 <= interval.high for interval in found])
    assert 0.84 < held < 0.94  # percentiles of 60 examples hold 0.885


def test_examples_keep_their_labels():
    """Shuffled apart they would agree by chance alone."""
    labels = np.arange(200) % 10
    assert bootstrap_interval(accuracy, labels, labels) == bootstrap_interval(accuracy, labels, labels.copy())
    assert bootstrap_interval(accuracy, labels, labels).low == 1


def test_it_is_a_function_of_the_seed_and_widens_with_the_level():
    values = np.random.default_rng(0).normal(size=50)
    narrow, wide = (bootstrap_interval(np.mean, values, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < values.mean() < narrow.high < wide.high
    assert bootstrap_interval(np.mean, values, seed=1) == bootstrap_interval(np.mean, values, seed=1)
    assert bootstrap_interval(np.mean, values, seed=1) != bootstrap_interval(np.mean, values, seed=2)


@pytest.mark.parametrize("n", [1, 20, 360])
def test_a_share_of_1_leaves_the_doubt_that_n_examples_leave(n):
    z2 = norm.ppf(0.975) ** 2
    found = share_interval(1.0, n)
    assert (found.low, found.high) == pytest.approx((n / (n + z2), 1))
    assert (share_interval(0.0, n).low, share_interval(0.0, n).high) == pytest.approx((0, z2 / (n + z2)))


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_the_interval_of_a_share_holds_it_as_often_as_it_says(share):
    counts = np.random.default_rng(0).binomial(200, share, 1000)
    found = {count: share_interval(count / 200, 200) for count in set(counts.tolist())}
    held = np.mean([found[count].low <= share <= found[count].high for count in counts.tolist()])
    assert 0.92 < held < 0.98


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(DataError, match=r"lengths \[3, 4\]"):
        bootstrap_interval(accuracy, np.zeros(3), np.zeros(4))
    with pytest.raises(DataError, match=r"lengths \[0\]"):
        bootstrap_interval(np.mean, np.zeros(0))
    for share, n in ((1.2, 5), (0.5, 0)):
        with pytest.raises(DataError, match="is no share"):
            share_interval(share, n)
    for refused in (lambda: bootstrap_interval(np.mean, np.zeros(3), level=95), lambda: share_interval(0.5, 9, 1.0)):
        with pytest.raises(DataError, match=r"level=0\.95 works"):
            refused()
