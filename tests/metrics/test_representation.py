"""A linear probe on features that a line parts and on those it does not; diversity by its definition."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gan_core.errors import DataError
from gan_core.metrics.representation import feature_diversity, linear_probe


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def test_two_gaussians_are_parted_as_well_as_can_be():
    labels = np.arange(4000) % 2
    train, test = (normal(4000, 3, seed) + 2 * labels[:, None] * [1, 0, 0] for seed in (0, 1))
    assert linear_probe(train, labels, test, labels) == pytest.approx(norm.cdf(1), abs=0.02)


def test_what_no_line_parts_is_guessed():
    labels = np.arange(2000) % 2
    rings = (1 + 3 * labels[:, None]) * normal(2000, 2) / np.linalg.norm(normal(2000, 2), axis=1, keepdims=True)
    assert linear_probe(rings[:1000], labels[:1000], rings[1000:], labels[1000:]) < 0.6
    squared = np.square(rings).sum(axis=1, keepdims=True)
    assert linear_probe(squared[:1000], labels[:1000], squared[1000:], labels[1000:]) > 0.99


def test_digits_are_read_as_scikit_learns_pipeline_reads_them():
    digits = load_digits()
    train, test = slice(0, 900), slice(900, None)
    expected = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    expected.fit(digits.data[train], digits.target[train])
    found = linear_probe(digits.data[train].astype(np.float32), digits.target[train],
                         digits.data[test].astype(np.float32), digits.target[test])
    assert found == pytest.approx(expected.score(digits.data[test], digits.target[test]), abs=2e-3)
    assert found > 0.9


def test_a_feature_that_never_changes_is_harmless():
    labels = np.arange(100) % 2
    rows = np.stack([labels * 2.0, np.full(100, 7.0)], axis=1)
    assert linear_probe(rows, labels, rows, labels) == 1


@pytest.mark.parametrize(("train", "labels", "test", "message"), [
    (normal(4, 2), np.arange(3), normal(4, 2), "do not pair up"),
    (normal(4, 2), np.arange(4), normal(4, 3), "same network"),
    (normal(4, 2), np.zeros(4, int), normal(4, 2), "one class"),
])
def test_a_probe_that_cannot_be_made_is_refused(train, labels, test, message):
    with pytest.raises(DataError, match=message):
        linear_probe(train, labels, test, np.arange(4))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_diversity_is_the_mean_over_all_pairs(dtype):
    rows = (normal(30, 5) + 0.5).astype(dtype)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = np.mean([np.square(u - v).sum() for u, v in combinations(units, 2)])
    assert feature_diversity(rows) == pytest.approx(expected, rel=1e-6)


def test_diversity_by_hand():
    assert feature_diversity(np.array([[1.0, 0.0], [0.0, 9.0]])) == pytest.approx(2)
    assert feature_diversity(np.array([[1.0, 0.0], [-3.0, 0.0]])) == pytest.approx(4)
    assert feature_diversity(np.repeat(normal(1, 8), 50, axis=0)) == pytest.approx(0, abs=1e-12)


def test_diversity_does_not_change_with_the_scale_of_the_features():
    rows = normal(20, 6)
    assert feature_diversity(1000 * rows) == pytest.approx(feature_diversity(rows))


@pytest.mark.parametrize("wrong", [normal(1, 3), normal(4, 3)[0], np.array([[1.0, 0.0], [0.0, 0.0]]),
                                   np.array([[1.0, 0.0], [np.nan, 0.0]])])
def test_rows_without_pairs_or_directions_are_refused(wrong):
    with pytest.raises(DataError, match=r"no pairs|no direction"):
        feature_diversity(wrong)
