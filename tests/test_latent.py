from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest, truncnorm

from gan_core.latent import class_directions, principal, slerp, truncated, whitened

AT = np.linspace(0, 1, 9)


def draws(n: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=seed)).standard_normal((n, size))


def test_an_arc_begins_and_ends_at_its_vectors() -> None:
    start, end = draws(2, 64)
    assert_allclose(slerp(start, end, AT)[[0, -1]], [start, end], rtol=1e-12)


def test_an_arc_between_unit_vectors_keeps_their_length_and_turns_evenly() -> None:
    start, end = (z / np.linalg.norm(z) for z in draws(2, 64))
    points = slerp(start, end, AT)
    assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-12)
    turns = (points[1:] * points[:-1]).sum(axis=1)
    assert_allclose(turns, turns[0], rtol=1e-12)


def test_half_way_between_draws_is_as_long_as_a_draw_and_not_as_the_mean_of_two() -> None:
    start, end = draws(2, 512)
    middle = slerp(start, end, np.array([0.5]))[0]
    assert np.linalg.norm(middle) == pytest.approx(512**0.5, rel=0.1)
    assert np.linalg.norm((start + end) / 2) < 0.8 * 512**0.5


@pytest.mark.parametrize("end", [[2.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
def test_vectors_on_one_line_are_joined_by_it(end: list[float]) -> None:
    start = np.array([1.0, 0.0])
    assert_allclose(slerp(start, np.array(end), AT), np.outer(1 - AT, start) + np.outer(AT, end))


def test_truncated_draws_are_distributed_as_those_that_are_drawn_again_until_they_fit() -> None:
    kept = truncated(draws(4000, 1), 0.8)[:, 0]
    assert kstest(kept, truncnorm(-0.8, 0.8).cdf).pvalue > 0.01


def test_a_lower_threshold_keeps_signs_and_order_and_leaves_less_spread() -> None:
    z = np.sort(draws(1, 1000)[0])
    kept = [truncated(z, most) for most in (3.0, 1.0, 0.5, 0.2)]
    for most, values in zip((3.0, 1.0, 0.5, 0.2), kept, strict=True):
        assert np.abs(values).max() <= most
        assert_array_equal(np.sign(values), np.sign(z))
        assert (np.diff(values) >= 0).all()
    assert (np.diff([values.std() for values in kept]) < 0).all()


def test_a_threshold_beyond_all_draws_changes_nothing() -> None:
    z = draws(10, 10)
    assert_allclose(truncated(z, 12.0), z, rtol=1e-9)


def test_white_draws_have_mean_0_and_covariance_1_exactly() -> None:
    white = whitened(draws(50, 8))
    assert_allclose(white.mean(axis=0), 0, atol=1e-12)
    assert_allclose(white.T @ white / 50, np.eye(8), atol=1e-12)
    with pytest.raises(ValueError, match=r"8 draws of 8 numbers .*; 16 draws work"):
        whitened(draws(8, 8))


@pytest.mark.parametrize("outputs", [6, 30, 200])  # fewer and more than draws
def test_components_of_a_linear_map_are_its_singular_vectors(outputs: int) -> None:
    matrix = draws(outputs, 5, seed=1)
    z = whitened(draws(100, 5))
    found = principal(z @ matrix.T + 3, z, 4)
    _, lengths, vectors = np.linalg.svd(matrix)
    assert_allclose(np.abs((found.directions * vectors[:4]).sum(axis=1)), 1, rtol=1e-9)
    assert_allclose(np.linalg.norm(found.directions, axis=1), 1, rtol=1e-9)
    assert_allclose(found.explained, (lengths**2 / (lengths**2).sum())[:4], rtol=1e-9)
    assert (found.directions.max(axis=1) == np.abs(found.directions).max(axis=1)).all()


def test_there_are_no_more_components_than_directions_in_which_values_vary() -> None:
    z = whitened(draws(40, 5))
    assert principal(z[:, :2], z, 4).directions.shape == (2, 5)
    assert principal(np.ones((40, 3)), z, 4).directions.shape == (0, 5)


def test_the_direction_of_a_class_is_that_which_it_is_read_by() -> None:
    z = whitened(draws(2000, 6))
    normal = np.array([3.0, 0, 0, 4, 0, 0]) / 5
    found = class_directions(z, (z @ normal > 0).astype(np.int64), 3)
    assert sorted(found) == [0, 1]  # nothing is read as 2
    assert found[1].direction @ normal > 0.99
    assert_allclose(found[0].direction, -found[1].direction)
    assert found[1].explained == pytest.approx(2 / np.pi, abs=0.03)  # of a sign, what is linear in a normal number
    assert found[0].share + found[1].share == 1
