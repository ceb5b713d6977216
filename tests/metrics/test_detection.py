"""How well scores tell abnormal from normal ones."""

from __future__ import annotations

import numpy as np
import pytest

from gan_core.errors import DataError
from gan_core.metrics.detection import average_precision, detection, roc_auc, threshold_of


def test_auc_is_the_share_of_pairs_in_which_the_abnormal_one_is_higher() -> None:
    assert roc_auc(np.array([3.0, 1.0]), np.array([2.0, 1.0])) == (1 + 1 + 0 + 0.5) / 4


def test_average_precision_is_the_mean_precision_at_the_ranks_of_abnormal_ones() -> None:
    assert average_precision(np.array([4.0, 2.0]), np.array([3.0, 1.0])) == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_scores_that_tell_nothing_have_the_auc_of_chance_and_the_precision_of_the_share() -> None:
    draw = np.random.default_rng(0)
    found = detection(draw.normal(size=3000), draw.normal(size=1000), None, 0)
    assert found["anomaly_auc"].value == pytest.approx(0.5, abs=0.03)
    assert found["anomaly_precision"].value == pytest.approx(0.75, abs=0.02)
    low, high = found["anomaly_auc"].low, found["anomaly_auc"].high
    assert low is not None
    assert high is not None
    assert low < 0.5 < high
    assert {*found} == {"anomaly_auc", "anomaly_precision"}


def test_a_threshold_lets_its_share_of_normal_examples_pass() -> None:
    normal = np.random.default_rng(0).permutation(np.arange(1, 101)).astype(np.float64)
    threshold = threshold_of(normal, 0.95)
    assert (normal > threshold).mean() == 0.04
    assert (normal >= threshold).mean() == 0.05
    assert threshold_of(normal, 0.5) == 51
    assert threshold_of(np.array([7.0]), 0.95) == 7


def test_what_is_above_the_threshold_is_found_or_a_false_alarm() -> None:
    found = detection(np.array([0.9, 0.8, 0.3]), np.array([0.1, 0.2, 0.3, 0.9]), 0.3, 0)
    assert found["anomaly_threshold"].value == 0.3
    assert found["anomaly_found"].value == pytest.approx(2 / 3)
    assert found["anomaly_false_alarms"].value == pytest.approx(1 / 4)


def test_one_kind_alone_and_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="0 abnormal and 2 normal examples"):
        detection(np.zeros(0), np.zeros(2), None, 0)
    with pytest.raises(DataError, match="not finite"):
        detection(np.array([np.nan]), np.zeros(2), None, 0)
    with pytest.raises(DataError, match=r"0\.95 of one or more works"):
        threshold_of(np.zeros(0), 0.95)
