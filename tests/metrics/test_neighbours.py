"""Precision, recall, density and coverage against their definitions, ties and blocks included."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from gan_core.errors import DataError
from gan_core.metrics import neighbours as module
from gan_core.metrics.neighbours import Neighbours, neighbours


def by_definition(real: np.ndarray, fake: np.ndarray, k: int) -> Neighbours:
    """Ball by ball, with differences instead of products."""

    def distance(a, b):
        return np.square(a.astype(np.float64) - b).sum()

    def radius(points, i):
        return sorted(distance(points[i], other) for j, other in enumerate(points) if j != i)[k - 1]

    real_radii = [radius(real, i) for i in range(len(real))]
    fake_radii = [radius(fake, j) for j in range(len(fake))]
    inside = [[distance(r, f) <= real_radii[i] for f in fake] for i, r in enumerate(real)]
    recalled = [any(distance(r, f) <= fake_radii[j] for j, f in enumerate(fake)) for r in real]
    return Neighbours(
        precision=float(np.any(inside, axis=0).mean()),
        recall=float(np.mean(recalled)),
        density=float(np.sum(inside)) / (k * len(fake)),
        coverage=float(np.any(inside, axis=1).mean()),
        density_error=float(np.std(np.sum(inside, axis=0), ddof=1)) / k / len(fake)**0.5,
    )


def as_tuple(found: Neighbours) -> tuple[float, ...]:
    return dataclasses.astuple(found)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("n", "m"), [(40, 40), (30, 55), (6, 6)])
def test_scattered_points_follow_the_definition(k, n, m):
    draw = np.random.default_rng(k)
    real, fake = draw.normal(size=(n, 3)), draw.normal(0.4, 1.2, (m, 3))
    expected = as_tuple(by_definition(real, fake, k))
    assert as_tuple(neighbours(real, fake, k)) == pytest.approx(expected, rel=1e-12)


def test_pixel_levels_with_many_ties_follow_the_definition_exactly():
    draw = np.random.default_rng(0)
    real, fake = draw.integers(0, 4, (60, 3), np.uint8), draw.integers(0, 5, (60, 3), np.uint8)
    expected = as_tuple(by_definition(real, fake, 5))
    assert as_tuple(neighbours(real, fake, 5)) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(("n", "m", "k"), [(1100, 1030, 5), (1024, 1025, 1), (90, 1500, 80)])
def test_more_points_than_a_tile_holds_follow_the_definition_exactly_ties_included(n, m, k):
    draw = np.random.default_rng(0)
    real, fake = draw.integers(0, 9, (n, 3)), draw.integers(1, 10, (m, 3))

    def between(x, y):
        return np.square(x[:, None] - y).sum(axis=2)

    real_radii, fake_radii = (np.sort(between(some, some), axis=1)[:, k] for some in (real, fake))  # 0 is itself
    across = between(real, fake)
    inside = across <= real_radii[:, None]
    assert neighbours(real, fake, k) == Neighbours(
        precision=inside.any(axis=0).mean(), recall=(across <= fake_radii).any(axis=1).mean(),
        density=inside.sum(axis=0).mean() / k, coverage=inside.any(axis=1).mean(),
        density_error=inside.sum(axis=0).std(ddof=1) / k / math.sqrt(m),
    )


def test_levels_at_both_ends_of_uint8_do_not_wrap():
    real = np.zeros((4, 2), np.uint8)
    fake = np.full((4, 2), 255, np.uint8)
    assert as_tuple(neighbours(real, fake, 1)) == (0, 0, 0, 0, 0)


def test_points_on_a_line_by_hand():
    real = np.array([[0.0], [1.0], [2.0], [10.0]])  # balls for k = 1: −1 … 1, 0 … 2, 1 … 3, 2 … 18
    fake = np.array([[2.0], [3.0], [30.0]])  # 1 … 3, 2 … 4, 3 … 57
    found = neighbours(real, fake, 1)
    assert found.precision == pytest.approx(2 / 3)  # 2 and 3
    assert found.recall == pytest.approx(3 / 4)  # 1, 2 and 10
    assert found.density == pytest.approx(5 / 3)  # 2 lies in three balls, 3 in two, 30 in none
    assert found.coverage == pytest.approx(3 / 4)  # all balls but the first


def test_a_copy_of_the_real_set_is_perfect_and_denser_than_one():
    real = np.random.default_rng(0).normal(size=(80, 16)).astype(np.float32)
    found = neighbours(real, real.copy(), 5)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.density == pytest.approx(6 / 5)  # a ball holds 5 neighbours, the outermost a tie, and itself


def test_a_tie_counts_as_inside_even_when_rounding_parts_it():
    """Far from the origin the two sides of a tie differ in their last bits."""
    real = np.random.default_rng(0).normal(size=(300, 64)) + 1e4
    assert neighbours(real, real[::-1].copy(), 3).density == pytest.approx(4 / 3)


def test_balls_of_no_radius_hold_exact_copies():
    real = np.repeat(np.array([[0.1, 0.2, 0.3], [5.1, 5.2, 5.3]]), 4, axis=0)
    assert as_tuple(neighbours(real, real[:4].copy(), 2)) == (1, 0.5, 2, 0.5, 0)


def test_sets_far_apart_share_nothing():
    real = np.random.default_rng(0).normal(size=(30, 4))
    assert as_tuple(neighbours(real, real + 1000, 5)) == (0, 0, 0, 0, 0)


def test_a_generator_stuck_on_one_image_is_precise_and_covers_little():
    real = np.random.default_rng(0).normal(size=(200, 2))
    found = neighbours(real, np.repeat(real[:1], 200, axis=0), 5)
    assert found.precision == 1
    assert found.coverage < 0.1
    assert found.recall == 1 / 200


@pytest.mark.parametrize("side", [1, 3, 7, 45, 1000])
@pytest.mark.parametrize("k", [1, 4, 44])
def test_tiles_of_any_size_give_one_result_on_pixel_levels(monkeypatch, side, k):
    draw = np.random.default_rng(0)
    real, fake = draw.integers(0, 256, (50, 12), np.uint8), draw.integers(0, 256, (45, 12), np.uint8)
    whole = neighbours(real, fake, k)
    monkeypatch.setattr(module, "SIDE", side)
    assert neighbours(real, fake, k) == whole


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32, np.float64])
def test_levels_give_one_result_in_every_number_type(dtype):
    draw = np.random.default_rng(0)
    real, fake = draw.integers(0, 128, (2, 60, 9))
    assert neighbours(real.astype(dtype), fake.astype(dtype), 3) == neighbours(real, fake, 3)


def test_the_order_of_examples_does_not_matter():
    draw = np.random.default_rng(0)
    real, fake = draw.normal(size=(40, 3)), draw.normal(size=(40, 3))
    assert neighbours(real[::-1], fake[draw.permutation(40)], 5) == neighbours(real, fake, 5)


@pytest.mark.parametrize(("n", "m"), [(5, 20), (20, 5)])
def test_too_few_examples_for_k_are_refused_with_advice(n, m):
    with pytest.raises(DataError, match=r"k=5 .* at least 6 real and 6 generated .* lower evaluate\.k"):
        neighbours(np.zeros((n, 2)), np.zeros((m, 2)), 5)


def test_unlike_features_are_refused():
    with pytest.raises(DataError, match="same network"):
        neighbours(np.zeros((9, 2)), np.zeros((9, 3)), 1)
