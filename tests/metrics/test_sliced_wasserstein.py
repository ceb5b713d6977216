"""The sliced Wasserstein distance against closed forms and scipy's one-dimensional distance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, wasserstein_distance

from gan_core.errors import DataError
from gan_core.metrics import sliced_wasserstein as module
from gan_core.metrics.sliced_wasserstein import coupling, sliced_wasserstein, unit_directions


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def quantiles(n: int, mean: float, deviation: float) -> np.ndarray:
    """n points spread as a Gaussian is."""
    return norm.ppf((np.arange(n) + 0.5) / n, mean, deviation)[:, None]


@pytest.mark.parametrize("p", [1, 2, 3.5])
def test_a_shift_along_a_line_is_the_shift(p):
    rows = normal(200, 1)
    assert sliced_wasserstein(rows, rows[::-1] - 3, p=p) == pytest.approx(3, rel=1e-12)


def test_gaussians_on_a_line_are_their_means_and_deviations_apart():
    """W_2² = (μ1 − μ2)² + (σ1 − σ2)²."""
    found = sliced_wasserstein(quantiles(20_000, 1, 2), quantiles(20_000, 4, 6), directions=2)
    assert found == pytest.approx(5, rel=1e-3)


def test_a_shift_in_d_dimensions_is_its_length_over_the_root_of_d():
    rows, shift = normal(50, 10), np.arange(10)
    found = sliced_wasserstein(rows, rows + shift, directions=40_000)
    assert found == pytest.approx(np.linalg.norm(shift) / np.sqrt(10), rel=0.02)


@pytest.mark.parametrize(("n", "m"), [(30, 30), (30, 12), (7, 50), (1, 9)])
def test_along_each_direction_it_is_scipys_distance(n, m):
    real, fake = normal(n, 4), 2 * normal(m, 4, seed=1) + 1
    each = [wasserstein_distance(real @ line, fake @ line) for line in unit_directions(20, 4, seed=3)]
    assert sliced_wasserstein(real, fake, directions=20, p=1, seed=3) == pytest.approx(np.mean(each), rel=1e-12)


def test_equal_sets_are_not_apart_in_whatever_order():
    rows = normal(300, 8)
    assert sliced_wasserstein(rows, rows) == 0
    assert sliced_wasserstein(rows, rows[::-1]) == pytest.approx(0, abs=1e-14)
    assert sliced_wasserstein(rows, np.repeat(rows, 3, axis=0)) == pytest.approx(0, abs=1e-14)


def test_it_scales_with_the_features_and_is_mutual():
    real, fake = normal(40, 5), normal(60, 5, seed=1) + 1
    once = sliced_wasserstein(real, fake)
    assert sliced_wasserstein(4 * real, 4 * fake) == 4 * once
    assert sliced_wasserstein(fake, real) == pytest.approx(once, rel=1e-14)


def test_what_is_held_at_a_time_does_not_change_the_result(monkeypatch):
    real, fake = normal(50, 6), normal(45, 6, seed=1)
    whole = sliced_wasserstein(real, fake)
    monkeypatch.setattr(module, "NUMBERS", 95 * 7)
    monkeypatch.setattr(module, "ROWS", 7)
    assert sliced_wasserstein(real, fake) == pytest.approx(whole, rel=1e-13)


def test_the_seed_decides_the_directions():
    real, fake = normal(50, 6), normal(50, 6, seed=1) + 1
    assert sliced_wasserstein(real, fake, seed=1) == sliced_wasserstein(real, fake, seed=1)
    assert sliced_wasserstein(real, fake, seed=1) != sliced_wasserstein(real, fake, seed=2)
    np.testing.assert_allclose(np.linalg.norm(unit_directions(100, 6, 0), axis=1), 1)


def test_pixel_levels_do_not_wrap():
    black, white = np.zeros((5, 2), np.uint8), np.full((5, 2), 255, np.uint8)
    assert sliced_wasserstein(black, white) == sliced_wasserstein(black.astype(float), white.astype(float))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 3), (2, 3), (7, 4)])
def test_all_weight_is_carried_in_order(n, m):
    share, left, right = coupling(n, m)
    assert len(share) <= n + m - 1
    np.testing.assert_allclose(np.bincount(left, share), np.full(n, 1 / n))
    np.testing.assert_allclose(np.bincount(right, share), np.full(m, 1 / m))
    assert (np.diff(left) >= 0).all()
    assert (np.diff(right) >= 0).all()


@pytest.mark.parametrize("other", [normal(4, 3), normal(4, 2)[:0], normal(4, 2)[0]])
def test_unlike_features_are_refused(other):
    with pytest.raises(DataError, match="same network"):
        sliced_wasserstein(normal(4, 2), other)


@pytest.mark.parametrize("wrong", [{"p": 0.5}, {"directions": 0}])
def test_what_is_no_distance_is_refused(wrong):
    with pytest.raises(DataError, match="1 or more"):
        sliced_wasserstein(normal(4, 2), normal(4, 2), **wrong)
