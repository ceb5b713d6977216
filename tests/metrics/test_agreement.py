"""Class agreement on digits that are known to be right, wrong, or of one class."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import SVC

from gan_core.data.sources.digits import Digits
from gan_core.errors import DataError
from gan_core.metrics import agreement
from gan_core.metrics.agreement import class_agreement, classifier, training_subset


def digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    examples = list(Digits().examples(split))
    return np.stack([e.image[None] for e in examples]), np.array([e.label for e in examples])


@pytest.fixture(scope="module")
def train():
    return digits("train")


def test_real_test_images_agree_with_their_labels(train):
    images, labels = digits("test")
    assert class_agreement(classifier(*train)(images), labels) > 0.97


def test_requests_one_class_off_are_not_met(train):
    images, labels = digits("test")
    assert class_agreement(classifier(*train)(images), (labels + 1) % 10) < 0.03


def test_images_that_ignore_the_request_agree_by_chance(train):
    images, labels = digits("test")
    assert class_agreement(classifier(*train)(images), np.random.default_rng(0).permutation(labels)) < 0.2


def test_agreement_is_a_plain_float_and_repeats(train):
    images, labels = digits("validation")
    first, again = (class_agreement(classifier(*train)(images), labels) for _ in range(2))
    assert type(first) is float
    assert first == again


def test_batches_do_not_change_agreement(train, monkeypatch):
    images, labels = digits("validation")
    whole = class_agreement(classifier(*train)(images), labels)
    monkeypatch.setattr(agreement, "BATCH", 7)
    assert class_agreement(classifier(*train)(images), labels) == whole


def test_a_set_of_one_class_agrees_with_requests_for_it(train):
    images = train[0][:10]
    assert class_agreement(classifier(images, np.full(10, 3))(images[:4]), np.array([3, 3, 3, 1])) == 0.75


def test_a_large_training_set_is_thinned_evenly_so_that_sorted_classes_all_take_part():
    assert (training_subset(10_000) == np.arange(10_000)).all()
    thinned = training_subset(70_000)
    labels = np.repeat(np.arange(10), 7_000)  # sorted by class
    assert len(thinned) == 10_000
    assert (np.bincount(labels[thinned]) == 1_000).all()


def test_images_and_requests_that_do_not_pair_up_are_refused(train):
    with pytest.raises(DataError, match="3 generated images and 2 requested classes"):
        class_agreement(train[1][:3], train[1][:2])
    with pytest.raises(DataError, match="0 generated images"):
        class_agreement(train[1][:0], train[1][:0])


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_classes_are_those_that_scikit_learn_predicts(train, classes):
    images, labels = train
    images, labels = images[labels < classes], labels[labels < classes]
    noise = np.random.default_rng(0).integers(0, 256, (200, 1, 8, 8), np.uint8)
    others = np.concatenate([digits("test")[0], noise])
    predicted = SVC().fit(images.reshape(-1, 64) / 255.0, labels).predict(others.reshape(-1, 64) / 255.0)
    assert (classifier(images, labels)(others) == predicted).all()
