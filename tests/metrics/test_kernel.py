"""The kernel distance against its definition, and what subsets may and may not change."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from gan_core.errors import DataError
from gan_core.metrics import kernel
from gan_core.metrics.kernel import kernel_distance, unbiased_mmd2


def normal(n: int, d: int = 6, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, (n, d))


def by_definition(x: np.ndarray, y: np.ndarray) -> float:
    """Gretton et al. 2012, equation 3, pair by pair."""

    def k(a, b):
        return (float(np.dot(a, b)) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (12, 12), (9, 14)])
def test_the_estimate_is_the_definition_pair_by_pair(n, m):
    x, y = normal(n), normal(m, seed=1, mean=0.5)
    assert unbiased_mmd2(x, y) == pytest.approx(by_definition(x, y), rel=1e-10)


def test_two_points_by_hand():
    # k(0, ·) = 1; k(1, 1) = (1/1 + 1)³ = 8: within 1 + 8, across 2 · 1
    assert unbiased_mmd2(np.zeros((2, 1)), np.ones((2, 1))) == 7.0


def test_the_mean_over_all_subsets_is_the_estimate_of_the_whole():
    """Which is what 'unbiased' means, exactly, for a U-statistic."""
    x, y = normal(5), normal(5, seed=1, mean=0.3)
    subsets = [list(chosen) for chosen in combinations(range(5), 3)]
    estimates = [unbiased_mmd2(x[a], y[b]) for a, b in product(subsets, subsets)]
    assert np.mean(estimates) == pytest.approx(unbiased_mmd2(x, y), rel=1e-10)


def test_like_sets_scatter_round_zero_and_may_be_negative():
    estimates = [kernel_distance(normal(50, seed=2 * i), normal(50, seed=2 * i + 1)) for i in range(200)]
    assert min(estimates) < 0 < max(estimates)
    assert abs(np.mean(estimates)) < 3 * np.std(estimates) / np.sqrt(len(estimates))


def test_a_subset_that_holds_all_examples_is_the_whole_estimate_whatever_the_seed():
    x, y = normal(30), normal(30, seed=1)
    whole = unbiased_mmd2(x, y)
    assert {kernel_distance(x, y, subsets=s, subset_size=30, seed=s) for s in (1, 7)} == {whole}
    assert kernel_distance(x, y, subset_size=1000) == whole


def test_subsets_are_a_function_of_the_seed():
    x, y = normal(60), normal(60, seed=1, mean=1.0)
    first, again, other = (kernel_distance(x, y, subsets=5, subset_size=10, seed=s) for s in (3, 3, 4))
    assert first == again != other


def test_many_subsets_come_close_to_the_whole():
    x, y = normal(200), normal(200, seed=1, mean=1.0)
    assert kernel_distance(x, y, subsets=200, subset_size=50) == pytest.approx(unbiased_mmd2(x, y), rel=0.05)


def test_sets_of_unlike_size_use_subsets_of_the_smaller():
    x, y = normal(40), normal(25, seed=1)
    assert kernel_distance(x, y, subsets=3) == kernel_distance(x, y, subsets=3, subset_size=25)


def test_the_estimate_does_not_depend_on_how_many_rows_are_held_at_a_time(monkeypatch):
    x, y = normal(40), normal(40, seed=1)
    whole = unbiased_mmd2(x, y)
    monkeypatch.setattr(kernel, "ROWS", 7)
    assert unbiased_mmd2(x, y) == pytest.approx(whole, rel=1e-11)


def test_farther_means_are_farther():
    x = normal(100)
    distances = [kernel_distance(x, normal(100, seed=1, mean=mean)) for mean in (0.0, 0.5, 1.0)]
    assert distances == sorted(distances)


def test_one_example_is_refused():
    with pytest.raises(DataError, match="at least two"):
        kernel_distance(normal(1), normal(5))


def test_unlike_features_are_refused():
    with pytest.raises(DataError, match="same network"):
        kernel_distance(normal(5, d=3), normal(5, d=4))
