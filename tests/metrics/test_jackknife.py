"""Intervals by leaving groups out hold what is measured as often as they say, and agree with the theory of means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from gan_core.errors import DataError
from gan_core.metrics.jackknife import apart_interval, deal, jackknife, jackknife_interval, mean_interval


def mean(values: np.ndarray) -> float:
    return float(values.mean())


def test_leaving_out_one_at_a_time_is_students_interval_of_a_mean():
    values = np.random.default_rng(0).exponential(size=50)
    found = jackknife_interval(mean(values), mean, values, groups=25)
    one_by_one = mean_interval(values)
    theirs = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (one_by_one.low, one_by_one.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)
    twice = np.repeat(values, 2)  # a group of two equal ones is one example
    order = np.argsort(deal(100, 50, 0), kind="stable")
    of_pairs = jackknife_interval(mean(values), mean, twice[np.argsort(order)], groups=50)
    assert (of_pairs.low, of_pairs.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)
    assert found.high - found.low == pytest.approx(theirs.high - theirs.low, rel=0.5)


@pytest.mark.parametrize("interval", [jackknife_interval, apart_interval])
def test_the_true_mean_is_held_as_often_as_is_said(interval):
    draw = np.random.default_rng(0)
    samples = draw.exponential(size=(200, 100))
    found = [interval(mean(each), mean, each) for each in samples]
    assert 0.9 < np.mean([each.low <= 1 <= each.high for each in found]) < 0.99


def test_the_bias_of_a_biased_figure_is_found():
    """The variance divided by n is too low by a 1 / n of it."""
    draw = np.random.default_rng(0)
    biases = [jackknife(float(each.var()), lambda some: float(some.var()), each).bias
              for each in draw.normal(size=(200, 50))]
    assert np.mean(biases) == pytest.approx(-1 / 50, rel=0.15)


def test_columns_of_one_length_are_dealt_together_and_others_apart():
    values = np.random.default_rng(0).normal(size=40)

    def differ(some: np.ndarray, same: np.ndarray, others: np.ndarray) -> float:
        assert (some == same).all()
        assert len(others) == 54
        return mean(some) - mean(others)

    assert jackknife(0.0, differ, values, values, np.zeros(60)) is not None


def test_all_groups_are_of_one_size_or_two_that_differ_by_one():
    assert np.bincount(deal(43, 10, 0)).tolist() == [5] * 3 + [4] * 7
    assert (deal(43, 10, 0) != deal(43, 10, 1)).any()


def test_with_few_examples_or_a_figure_that_is_infinite_there_is_none():
    few = np.arange(19.0)
    assert jackknife_interval(9.0, mean, few) is mean_interval(few) is apart_interval(9.0, mean, few) is None
    assert jackknife_interval(0.0, lambda values: math.inf, np.arange(30.0)) is None


def test_what_leaves_nothing_out_is_refused():
    with pytest.raises(DataError, match="groups=10 and a column work"):
        jackknife(0.0, mean, np.arange(30.0), groups=1)
    with pytest.raises(DataError, match=r"level=0\.95 works"):
        mean_interval(np.arange(30.0), level=95)
