"""Classes measured on their own: equal to the measures of each class's rows, and none is lost."""

from __future__ import annotations

import numpy as np
import pytest

from gan_core.errors import DataError
from gan_core.metrics.frechet import frechet_distance
from gan_core.metrics.moments import Moments
from gan_core.metrics.neighbours import neighbours
from gan_core.metrics.per_class import mean_fd, per_class

CENTRES = 20 * np.eye(3)


def drawn(labels: np.ndarray, seed: int, shift: float = 0.0) -> np.ndarray:
    return CENTRES[labels] + shift + np.random.default_rng(seed).normal(size=(len(labels), 3))


def test_each_class_has_the_measures_of_its_own_rows():
    real_labels, fake_labels = np.arange(120) % 3, np.arange(90) % 3
    real, fake = drawn(real_labels, 0), drawn(fake_labels, 1)
    found = per_class(real, real_labels, fake, fake_labels, k=3)
    assert [each.label for each in found] == [0, 1, 2]
    for each in found:
        own_real, own_fake = real[real_labels == each.label], fake[fake_labels == each.label]
        assert (each.n_real, each.n_fake, each.reason) == (40, 30, None)
        assert each.fd == frechet_distance(Moments.of(own_real), Moments.of(own_fake))
        assert each.near == neighbours(own_real, own_fake, 3)
    assert mean_fd(found) == pytest.approx(np.mean([each.fd for each in found]))


def test_mixed_up_classes_show_in_each_class_and_not_in_the_whole():
    labels = np.arange(300) % 3
    real, fake = drawn(labels, 0), drawn(labels, 1)
    right, mixed_up = (per_class(real, labels, fake, asked) for asked in (labels, (labels + 1) % 3))
    assert mean_fd(right) < 0.5
    assert mean_fd(mixed_up) == pytest.approx(2 * 20**2, rel=0.05)  # the squared distance of two centres
    assert all(each.near.precision == 0 for each in mixed_up)


@pytest.mark.parametrize(("real_counts", "fake_counts", "reason"), [
    ((30, 9), (30, 30), "9 real and 30 generated examples; 10 of each are needed"),
    ((30, 30), (30, 9), "30 real and 9 generated examples; 10 of each are needed"),
    ((30, 30), (30, 0), "30 real and 0 generated examples; 10 of each are needed"),
    ((30, 0), (30, 30), "0 real and 30 generated examples; 10 of each are needed"),
])
def test_a_class_with_too_few_examples_is_there_with_the_reason(real_counts, fake_counts, reason):
    real_labels, fake_labels = np.repeat([0, 2], real_counts), np.repeat([0, 2], fake_counts)
    found = per_class(drawn(real_labels, 0), real_labels, drawn(fake_labels, 1), fake_labels)
    assert [each.label for each in found] == [0, 2]
    assert (found[1].fd, found[1].near, found[1].reason) == (None, None, reason)
    assert mean_fd(found) == found[0].fd


def test_more_neighbours_need_more_examples():
    labels = np.repeat([0, 1], 15)
    found = per_class(drawn(labels, 0), labels, drawn(labels, 1), labels, k=15)
    assert {each.reason for each in found} == {"15 real and 15 generated examples; 16 of each are needed"}
    with pytest.raises(DataError, match=r"raise evaluate\.samples"):
        mean_fd(found)


def test_features_and_labels_that_do_not_pair_up_are_refused():
    labels = np.repeat([0, 1], 15)
    with pytest.raises(DataError, match="do not pair up"):
        per_class(drawn(labels, 0), labels[:-1], drawn(labels, 1), labels)
