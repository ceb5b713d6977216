"""Data copying: copies of the training set are found out, fresh real data is not suspected."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm
from sklearn.datasets import load_digits

from gan_core.errors import DataError
from gan_core.metrics.memorisation import copying_z, memorisation


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """[1797, 64], in an order that has nothing to do with who wrote them."""
    pixels = load_digits().data
    return pixels[np.random.default_rng(0).permutation(len(pixels))]


def test_copies_of_training_images_score_as_memorised(digits):
    train, held_out = digits[:900], digits[900:1350]
    found = memorisation(train, held_out, train[:450])
    assert found.score < -5
    assert found.nearer == 1


def test_fresh_real_images_score_about_0(digits):
    found = memorisation(digits[:900], digits[900:1350], digits[1350:])
    assert abs(found.score) < 1
    assert found.nearer == pytest.approx(0.5, abs=0.05)


def test_noisy_copies_are_nearer_than_fresh_images_too(digits):
    train = digits[:900]
    noisy = train[:450] + np.random.default_rng(0).normal(0, 1, (450, 64))
    assert memorisation(train, digits[900:1350], noisy).score < -5


def test_images_unlike_any_digit_score_above_0(digits):
    far = np.random.default_rng(0).uniform(0, 16, (450, 64))
    assert memorisation(digits[:900], digits[900:1350], far, cells=1).score > 5


def test_copies_of_one_region_show_in_their_cell_where_the_whole_hides_them():
    """Copies at one place and scattered examples at the other: over the whole they cancel out."""
    draw = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [100.0, 0.0]])
    train, held_out, fresh = (np.concatenate([centre + draw.normal(size=(200, 2)) for centre in centres])
                              for _ in range(3))
    fake = np.concatenate([train[:200], centres[1] + 3 * draw.normal(size=(200, 2))])
    assert abs(memorisation(train, held_out, fake, cells=1).score) < 6
    low, high = sorted(memorisation(train, held_out, fake, cells=2).by_cell)
    assert low < -10
    assert high > 8
    assert max(abs(z) for z in memorisation(train, held_out, fresh, cells=2).by_cell) < 3


def test_z_of_fresh_data_is_standard_normal():
    draw = np.random.default_rng(0)
    found = [copying_z(draw.normal(size=40), draw.normal(size=60)) for _ in range(2000)]
    assert np.mean(found) == pytest.approx(0, abs=0.08)
    assert np.std(found) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("levels", [3, 10**9])
def test_z_has_scipys_p_value_with_and_without_ties(levels):
    draw = np.random.default_rng(0)
    held_out, generated = draw.integers(0, levels, 50) / 7, draw.integers(0, levels, 80) / 9
    expected = mannwhitneyu(generated, held_out, method="asymptotic", use_continuity=False).pvalue
    z = copying_z(held_out, generated)
    assert 2 * norm.sf(abs(z)) == pytest.approx(expected, rel=1e-9)
    assert z < 0  # ninths are nearer than sevenths


def test_distances_that_are_all_equal_say_nothing():
    assert copying_z(np.ones(20), np.ones(30)) == 0


def test_the_score_is_the_mean_of_the_cells_weighted_by_held_out_examples():
    train = np.repeat([[0.0], [10.0]], 30, axis=0) + np.random.default_rng(0).normal(size=(60, 1))
    held_out, fake = train[np.r_[:30, 30:60, 30:60]] + 0.1, train + 0.2
    found = memorisation(train, held_out, fake, cells=2)
    weighted = sorted(found.by_cell)  # the cells' numbers are k-means' choice
    assert min(abs(found.score - (a + 2 * b) / 3) for a, b in (weighted, weighted[::-1])) < 1e-12


def test_cells_with_few_examples_are_none_and_the_rest_counts(digits):
    found = memorisation(digits[:900], digits[900:1350], digits[1350:1550], cells=10)
    measured = [z for z in found.by_cell if z is not None]
    assert 0 < len(measured) < len(found.by_cell) == 10
    assert min(measured) <= found.score <= max(measured)


def test_too_few_examples_are_refused_with_advice(digits):
    with pytest.raises(DataError, match="or cells=1"):
        memorisation(digits[:900], digits[900:950], digits[950:1000], cells=10)
    with pytest.raises(DataError, match="cells=1 works"):
        memorisation(digits[:5], digits[5:100], digits[100:200], cells=10)
