"""Histograms of classes by hand, zero counts included."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gan_core.errors import DataError
from gan_core.metrics.class_histogram import class_histogram


def labels(*counts: int) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


def test_equal_shares_are_0_apart_whatever_the_number_of_examples():
    assert class_histogram(labels(2, 4, 6), labels(10, 20, 30)[::-1], 3).kl == 0


def test_by_hand_and_counted():
    found = class_histogram(labels(1, 3), labels(2, 2), 2)
    assert found.kl == pytest.approx(0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5))
    assert (found.generated, found.real) == ((1, 3), (2, 2))


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_a_generator_of_one_class_of_k_is_log_k_apart(classes):
    found = class_histogram(labels(50), labels(*[3] * classes), classes)
    assert found.kl == pytest.approx(math.log(classes))
    assert found.missing == tuple(range(1, classes))


def test_a_class_that_neither_has_counts_for_nothing():
    with_it, without = class_histogram(labels(1, 3, 0), labels(2, 2), 3), class_histogram(labels(1, 3), labels(2, 2), 2)
    assert with_it.kl == without.kl
    assert with_it.missing == ()


def test_a_class_that_real_data_does_not_have_is_infinitely_far():
    assert class_histogram(labels(5, 5, 1), labels(5, 5), 3).kl == math.inf


@pytest.mark.parametrize("wrong", [np.array([0, 3]), np.array([-1, 0]), np.zeros(0, np.int64), np.zeros((2, 2), int)])
def test_labels_that_are_no_classes_are_refused(wrong):
    with pytest.raises(DataError, match="0 to 2"):
        class_histogram(wrong, labels(1, 1, 1), 3)
