"""Moments: shards apart equal the whole."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from gan_core.errors import DataError
from gan_core.metrics.moments import Moments, merge


def features(n: int, d: int = 7, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, d)) @ draw.normal(size=(d, d)) + 100 * draw.normal(size=d)


def test_moments_of_two_shards_equal_moments_of_the_whole_bit_for_bit_where_float64_is_exact():
    rows = np.random.default_rng(0).integers(-512, 512, (64, 5)) * 64.0  # means over 32 and 64 rows are exact
    merged, whole = merge(Moments.of(rows[:32]), Moments.of(rows[32:])), Moments.of(rows)
    assert merged.n == whole.n == 64
    assert (merged.mean == whole.mean).all()
    assert (merged.scatter == whole.scatter).all()


@pytest.mark.parametrize("sizes", [(1, 999), (500, 500), (3, 700, 1, 296), (100,) * 10])
def test_moments_of_any_shards_equal_moments_of_the_whole(sizes):
    rows = features(1000)
    shards = np.split(rows, np.cumsum(sizes)[:-1])
    merged, whole = reduce(merge, map(Moments.of, shards)), Moments.of(rows)
    assert merged.n == 1000
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-13)
    np.testing.assert_allclose(merged.scatter, whole.scatter, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("size", [1, 7, 64, 999, 1000, 5000])
def test_moments_of_batches_of_any_size_equal_moments_of_the_whole(size):
    rows = features(1000)
    streamed, whole = Moments.of_batches(rows[i : i + size] for i in range(0, 1000, size)), Moments.of(rows)
    assert streamed.n == 1000
    np.testing.assert_allclose(streamed.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(streamed.scatter, whole.scatter, rtol=0, atol=1e-12 * whole.scatter.max())


def test_batches_far_from_zero_lose_nothing_that_the_whole_keeps():
    rows = np.random.default_rng(0).normal(size=(500, 3)) + 1e6
    streamed = Moments.of_batches(np.split(rows, 50))
    np.testing.assert_allclose(streamed.covariance, np.cov(rows - 1e6, rowvar=False), rtol=0, atol=1e-9)


def test_no_batches_are_refused():
    with pytest.raises(DataError, match="no batches"):
        Moments.of_batches([])


def test_merging_does_not_depend_on_the_order_of_the_shards():
    a, b = Moments.of(features(10)), Moments.of(features(30, seed=1))
    np.testing.assert_allclose(merge(a, b).mean, merge(b, a).mean, rtol=1e-14)
    np.testing.assert_allclose(merge(a, b).scatter, merge(b, a).scatter, rtol=1e-14)


def test_covariance_is_numpys_unbiased_one():
    rows = features(50)
    np.testing.assert_allclose(Moments.of(rows).covariance, np.cov(rows, rowvar=False), rtol=1e-12)


def test_float32_features_far_from_zero_keep_their_covariance():
    rows = features(200).astype(np.float32) + np.float32(1000)
    exact = np.cov(rows.astype(np.float64), rowvar=False)
    np.testing.assert_allclose(Moments.of(rows).covariance, exact, rtol=1e-9)


def test_features_are_not_changed():
    rows = features(10)
    kept = rows.copy()
    Moments.of(rows)
    assert (rows == kept).all()


def test_one_row_has_a_mean_but_no_covariance():
    alone = Moments.of(features(1))
    assert (alone.scatter == 0).all()
    with pytest.raises(DataError, match="at least two"):
        _ = alone.covariance


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused(bad):
    rows = features(5)
    rows[2, 3] = bad
    with pytest.raises(DataError, match="not finite"):
        Moments.of(rows)


@pytest.mark.parametrize("shape", [(0, 4), (4,), (2, 3, 4), (3, 0)])
def test_arrays_that_are_no_features_are_refused(shape):
    with pytest.raises(DataError, match=r"need \[n, d\]"):
        Moments.of(np.zeros(shape))


def test_moments_of_unlike_features_do_not_merge():
    with pytest.raises(DataError, match="same network"):
        merge(Moments.of(features(5, d=3)), Moments.of(features(5, d=4)))
