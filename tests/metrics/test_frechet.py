"""The Fréchet distance against closed forms, against scipy, and where covariances are singular."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from gan_core.data.sources.digits import Digits
from gan_core.errors import DataError
from gan_core.metrics.frechet import frechet_distance, trace_of_root
from gan_core.metrics.moments import Moments


def gaussian(mean: np.ndarray, covariance: np.ndarray, n: int = 1000) -> Moments:
    return Moments(n, np.asarray(mean, np.float64), np.asarray(covariance, np.float64) * (n - 1))


def spread_out(n: int, d: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, d)) @ (np.eye(d) + 0.3 * draw.normal(size=(d, d))) + draw.normal(size=d)


def test_gaussians_along_the_axes_have_the_closed_form():
    draw = np.random.default_rng(0)
    means, deviations = draw.normal(size=(2, 9)), draw.uniform(0.1, 3, (2, 9))
    a, b = (gaussian(m, np.diag(s**2)) for m, s in zip(means, deviations, strict=True))
    expected = np.square(means[0] - means[1]).sum() + np.square(deviations[0] - deviations[1]).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_gaussians_with_shared_axes_have_the_closed_form():
    draw = np.random.default_rng(1)
    axes = np.linalg.qr(draw.normal(size=(6, 6)))[0]
    deviations = draw.uniform(0.1, 3, (2, 6))
    a, b = (gaussian(np.zeros(6), (axes * s**2) @ axes.T) for s in deviations)
    assert frechet_distance(a, b) == pytest.approx(np.square(deviations[0] - deviations[1]).sum(), rel=1e-12)


@pytest.mark.parametrize("d", [2, 16, 64, 200])
def test_well_conditioned_cases_equal_scipys_matrix_square_root(d):
    a, b = Moments.of(spread_out(40 * d, d, seed=d)), Moments.of(spread_out(50 * d, d, seed=d + 1))
    apart = a.mean - b.mean
    root = sqrtm(a.covariance @ b.covariance).real
    expected = apart @ apart + np.trace(a.covariance) + np.trace(b.covariance) - 2 * np.trace(root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def by_symmetric_root(first: np.ndarray, second: np.ndarray) -> float:
    """tr (√Σa Σb √Σa)^½ by eigenvectors."""
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()


@pytest.mark.parametrize("d", [1, 3, 64, 200])
def test_the_trace_equals_that_of_the_symmetric_root(d):
    a, b = (Moments.of(spread_out(20 * d + 2, d, seed)).covariance for seed in (0, 1))
    assert trace_of_root(a, b) == pytest.approx(by_symmetric_root(a, b), rel=1e-9)


@pytest.mark.parametrize("smallest", [1e-4, 1e-8, 1e-12, 1e-16])
def test_variances_of_any_range_keep_their_digits(smallest):
    """(Σ Σ/4)^½ = Σ/2, however close Σ is to singular."""
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 30)))[0]
    covariance = (axes * np.geomspace(smallest, 1, 30)) @ axes.T
    assert trace_of_root(covariance, covariance / 4) == pytest.approx(np.trace(covariance) / 2, rel=1e-13)


def test_a_shifted_set_is_as_far_as_the_shift_is_long():
    rows = spread_out(300, 8, seed=0)
    shift = np.arange(8.0)
    moved = frechet_distance(Moments.of(rows), Moments.of(rows + shift))
    assert moved == pytest.approx(shift @ shift, rel=1e-9)


def test_the_distance_is_symmetric():
    a, b = Moments.of(spread_out(100, 10, seed=0)), Moments.of(spread_out(90, 10, seed=1))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-10)


@pytest.mark.parametrize("n", [5, 40, 400])
def test_a_set_has_no_distance_from_itself(n):
    same = Moments.of(spread_out(n, 40, seed=0))
    assert 0 <= frechet_distance(same, same) < 1e-13 * np.trace(same.covariance)


def test_fewer_examples_than_dimensions_give_the_distance_within_their_subspace():
    small_a, small_b = spread_out(60, 4, seed=0), spread_out(50, 4, seed=1)
    into_many = np.linalg.qr(np.random.default_rng(2).normal(size=(200, 200)))[0][:4]  # keeps distances
    inside = frechet_distance(Moments.of(small_a), Moments.of(small_b))
    embedded = frechet_distance(Moments.of(small_a @ into_many), Moments.of(small_b @ into_many))
    assert embedded == pytest.approx(inside, rel=1e-10)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (2, 9), (30, 7), (7, 300), (40, 41)])
def test_with_fewer_rows_than_dimensions_the_trace_is_a_sum_of_singular_values(n, m):
    """tr (XᵀX YᵀY)^½ = ‖X Yᵀ‖ in the nuclear norm, which needs no [d, d] array."""
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(n, 40)), draw.normal(1, 2, (m, 40))
    centred = [(some - some.mean(axis=0)) / np.sqrt(len(some) - 1) for some in rows]
    overlap = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    a, b = map(Moments.of, rows)
    apart = a.mean - b.mean
    expected = apart @ apart + np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_a_few_rows_of_four_numbers_have_a_finite_and_symmetric_distance(n):
    a, b = map(Moments.of, np.random.default_rng(1).normal(size=(2, n, 4)))
    assert 0 < frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-7)


def test_a_shift_by_one_in_each_of_2048_dimensions_is_a_distance_of_2048():
    spread = np.eye(2048)
    assert frechet_distance(gaussian(np.zeros(2048), spread, 2), gaussian(np.ones(2048), spread, 2)) == 2048


@pytest.mark.parametrize("ranks", [(3, 3), (3, 12), (12, 3), (0, 5), (5, 0), (0, 0)])
def test_singular_covariances_have_the_closed_form_along_their_shared_axes(ranks):
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))[0]
    deviations = [np.where(np.arange(12) < rank, np.linspace(1, 3, 12), 0) for rank in ranks]
    a, b = (gaussian(np.zeros(12), (axes * s**2) @ axes.T) for s in deviations)
    assert frechet_distance(a, b) == pytest.approx(np.square(deviations[0] - deviations[1]).sum(), rel=1e-6, abs=1e-12)


def test_constant_features_are_a_distance_of_means():
    assert frechet_distance(Moments.of(np.zeros((5, 3))), Moments.of(np.ones((7, 3)))) == 3.0


def test_two_examples_in_many_dimensions_are_finite():
    a, b = Moments.of(spread_out(2, 500, seed=0)), Moments.of(spread_out(2, 500, seed=1))
    assert np.isfinite(frechet_distance(a, b))


def test_digits_whose_corner_pixels_never_change_are_finite_and_close():
    images = np.stack([example.image.ravel() for example in Digits().examples("train")]) / 255
    even, odd, noise = images[::2], images[1::2], np.random.default_rng(0).random((600, 64))
    near, far = (frechet_distance(Moments.of(even), Moments.of(other)) for other in (odd, noise))
    assert 0 < near < 0.2 < far


def test_features_whose_squares_overflow_are_refused_rather_than_equal():
    a, b = gaussian(np.zeros(2), np.eye(2) * 1e200), gaussian(np.zeros(2), np.eye(2) * 1e201)
    with pytest.raises(DataError, match="too large"):
        frechet_distance(a, b)


def test_a_single_example_is_refused():
    with pytest.raises(DataError, match="at least two"):
        frechet_distance(Moments.of(np.ones((1, 3))), Moments.of(np.ones((5, 3))))


def test_unlike_features_are_refused():
    with pytest.raises(DataError, match="same network"):
        frechet_distance(Moments.of(np.ones((4, 3))), Moments.of(np.ones((4, 2))))
