"""The Inception Score against closed forms and its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

from gan_core.errors import DataError
from gan_core.metrics.inception_score import inception_score


def logits(n: int, classes: int) -> np.ndarray:
    return 3 * np.random.default_rng(0).normal(size=(n, classes))


@pytest.mark.parametrize("splits", [1, 10])
def test_images_all_of_one_class_score_1(splits):
    found = inception_score(np.eye(7)[np.full(50, 3)], splits)
    assert (found.mean, found.deviation) == (1, 0)


def test_images_that_the_classifier_cannot_tell_apart_score_1():
    found = inception_score(np.repeat(softmax(logits(1, 7), axis=1), 50, axis=0), 5)
    assert found.mean == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_sure_and_even_classes_score_their_number(classes):
    found = inception_score(np.eye(classes)[np.repeat(np.arange(classes), 4)], splits=1)
    assert found.mean == pytest.approx(classes, rel=1e-12)


def test_sorted_classes_lose_little_to_being_split():
    sorted_by_class = np.eye(10)[np.repeat(np.arange(10), 100)]
    assert inception_score(sorted_by_class, splits=10).mean > 9  # a part in order would hold one class and score 1


@pytest.mark.parametrize("splits", [1, 4, 10])
def test_the_definition_in_logarithms_gives_the_same(splits):
    """As it is usually written in torch: p (log p − log p(y)), summed, averaged, exp; n divides into parts here."""
    given = logits(400, 9)
    order = torch.from_numpy(np.random.default_rng(0).permutation(400))
    rows = torch.from_numpy(given)[order]
    scores = []
    for prob, log_prob in zip(rows.softmax(1).chunk(splits), rows.log_softmax(1).chunk(splits), strict=True):
        scores.append((prob * (log_prob - prob.mean(0, keepdim=True).log())).sum(1).mean().exp())
    found = inception_score(softmax(given, axis=1), splits)
    assert found.mean == pytest.approx(float(torch.stack(scores).mean()), rel=1e-12)
    assert found.deviation == pytest.approx(float(torch.stack(scores).std(correction=0)), rel=1e-9)


def test_float32_probabilities_are_taken():
    given = softmax(logits(100, 1008), axis=1)
    assert inception_score(given.astype(np.float32)).mean == pytest.approx(inception_score(given).mean, rel=1e-5)


@pytest.mark.parametrize("wrong", [logits(20, 5), np.full((20, 5), 0.3), np.array([[1.5, -0.5]]), np.zeros((0, 3)),
                                   np.full((20, 2), np.nan)])
def test_what_are_no_probabilities_is_refused(wrong):
    with pytest.raises(DataError, match="take the softmax"):
        inception_score(wrong, splits=1)


@pytest.mark.parametrize(("splits", "advice"), [(0, 10), (51, 10)])
def test_fewer_images_than_parts_are_refused(splits, advice):
    with pytest.raises(DataError, match=f"splits={advice} works"):
        inception_score(np.eye(5)[np.arange(50) % 5], splits)
