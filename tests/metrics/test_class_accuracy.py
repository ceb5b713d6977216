"""GAN-train and GAN-test with stand-ins for generators, from real digits to noise."""

from __future__ import annotations

import numpy as np
import pytest

from gan_core.data.shards import Shards, Split, open_shards
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.errors import DataError
from gan_core.metrics import class_accuracy as module
from gan_core.metrics.class_accuracy import ClassAccuracy, class_accuracy
from gan_core.modalities.form import Form
from gan_core.store import Store


@pytest.fixture(scope="module", autouse=True)
def short_trainings():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST", 8000)
        yield


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Shards:
    store = Store(tmp_path_factory.mktemp("store"))
    write_shards(Digits(), store, "shards/digits", shard_examples=500, key="digits")
    return open_shards(store, "shards/digits")


def measured(shards: Shards, images: np.ndarray, labels: np.ndarray) -> ClassAccuracy:
    return class_accuracy(shards.split("train"), shards.split("test"), images, labels, shards.classes, shards.form)


@pytest.fixture(scope="module")
def perfect(shards) -> ClassAccuracy:
    """Of a generator that gives the training examples back."""
    train = shards.split("train")
    return measured(shards, train.gather(np.arange(len(train))), train.labels)


def test_the_training_set_itself_teaches_as_much_as_it_does(perfect):
    assert perfect.gan_train == perfect.real > 0.9
    assert perfect.gan_test > 0.95


def test_one_example_a_class_over_and_over_looks_right_and_teaches_little(shards, perfect):
    train = shards.split("train")
    first = np.array([np.flatnonzero(train.labels == c)[0] for c in range(10)])
    again = np.tile(first, 50)
    found = measured(shards, train.gather(again), train.labels[again])
    assert found.gan_test >= 0.9
    assert found.gan_train < perfect.gan_train - 0.15
    assert found.real == perfect.real


def test_classes_that_are_mixed_up_are_neither_seen_nor_taught(shards):
    train = shards.split("train")
    found = measured(shards, train.gather(np.arange(len(train))), (train.labels + 1) % 10)
    assert found.gan_train < 0.1
    assert found.gan_test < 0.1


def test_a_set_without_labels_is_refused(shards):
    train = shards.split("train")
    bare = Split(train.parts, None)
    for sides in ((bare, train), (train, bare)):
        with pytest.raises(DataError, match="has no classes"):
            class_accuracy(*sides, train.gather(np.arange(4)), np.arange(4), 10, Form(shape=(1, 8, 8)))


@pytest.mark.parametrize(("requested", "message"), [(np.arange(3), "do not pair up"), (np.arange(7, 11), "7 to 10")])
def test_classes_that_do_not_fit_are_refused(shards, requested, message):
    with pytest.raises(DataError, match=message):
        measured(shards, shards.split("train").gather(np.arange(4)), requested)
