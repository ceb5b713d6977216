"""Synthetic examples with stand-ins for generators: noise, and the very real images that a long tail holds back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from gan_core.data.shards import Shards, Split, open_shards
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.errors import DataError
from gan_core.metrics.augmentation import BASELINES, BOTH, REAL, SYNTHETIC, WAYS, answers, filled, outcome, training_set
from gan_core.metrics.intervals import Interval
from gan_core.modalities.form import Form
from gan_core.store import Store

IMAGES, SIZE, SEEDS = 5000, 100, 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return shards_of(Digits(), tmp_path_factory)


@pytest.fixture(scope="module")
def tail(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return shards_of(Digits(imbalance=50), tmp_path_factory)


def shards_of(source: Digits, tmp_path_factory: pytest.TempPathFactory) -> Shards:
    store = Store(tmp_path_factory.mktemp("store"))
    write_shards(source, store, "shards/digits", shard_examples=500, key="digits")
    return open_shards(store, "shards/digits")


def noise(n: int = SIZE) -> Split:
    """So many images of each class, of which none shows anything."""
    drawn = np.random.default_rng(0).integers(0, 256, (10 * n, 1, 8, 8), np.uint8)
    return Split((drawn,), np.arange(10 * n) % 10)


def read(
    tail: Shards, synthetic: Split, ways: tuple[str, ...] = WAYS, known: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """What each way's classifiers read in the test images, [seeds, n]; of the real ways what is known already."""
    known = known or {}
    found = {way: np.array([one(tail, synthetic, way, seed) for seed in range(SEEDS)])
             for way in ways if way not in known}
    return {**found, **known}


def one(tail: Shards, synthetic: Split, way: str, seed: int, images: int = IMAGES) -> np.ndarray:
    return answers(way, tail.split("train"), synthetic, tail.split("test"), tail.form, 10, size=SIZE, images=images,
                   seed=seed)


@pytest.fixture(scope="module")
def real_ways(tail: Shards) -> dict[str, np.ndarray]:
    return read(tail, noise(), BASELINES)


def test_what_a_generator_copies_of_held_back_real_images_is_recommended(
    tail: Shards, whole: Shards, real_ways: dict[str, np.ndarray]
) -> None:
    found = outcome(read(tail, whole.split("train"), known=real_ways), labels(tail))
    assert found.verdict == "helps"
    assert found.recommended
    assert found.gain.value > 0.05
    assert found.gain.interval.low > 0
    rare = [found.ways[BOTH].recall[label].value - found.ways[REAL].recall[label].value for label in (8, 9)]
    assert min(rare) > 0.2


def test_noise_is_not_recommended(tail: Shards, real_ways: dict[str, np.ndarray]) -> None:
    found = outcome(read(tail, noise(), known=real_ways), labels(tail))
    assert not found.recommended
    assert found.gain.value < 0
    assert found.ways[SYNTHETIC].accuracy.value < 0.3


def test_an_answer_is_a_function_of_data_and_seed(tail: Shards) -> None:
    first = one(tail, noise(), BOTH, 0, 2000)
    np.testing.assert_array_equal(first, one(tail, noise(), BOTH, 0, 2000))
    assert (first != one(tail, noise(), BOTH, 1, 2000)).any()


def test_the_test_split_is_never_learnt_from(tail: Shards) -> None:
    """Its labels are not even there, and what is read in one image does not depend on the others."""
    test = tail.split("test")
    bare = Split((test.images[:40],), None)
    found = answers(REAL, tail.split("train"), noise(), bare, tail.form, 10, size=SIZE, images=2000, seed=0)
    np.testing.assert_array_equal(found, one(tail, noise(), REAL, 0, 2000)[:40])


def test_each_way_sees_as_many_examples_of_what_it_is_named_for(tail: Shards) -> None:
    real, sets = tail.split("train"), {}
    for way in WAYS:
        split, order = training_set(way, real, noise(), SIZE, 3000, 0)
        assert len(order) == 3000
        assert split.labels is not None
        sets[way] = np.bincount(split.labels[order], minlength=10) / 3000
    np.testing.assert_allclose(sets[REAL], np.bincount(labels_of_train(tail), minlength=10) / len(real), atol=0.01)
    np.testing.assert_allclose(sets["real_balanced"], 0.1, atol=0.02)
    np.testing.assert_allclose(sets[SYNTHETIC], 0.1, atol=0.001)


def test_each_class_is_filled_up_and_none_loses_real_examples(tail: Shards) -> None:
    real = tail.split("train")
    before = np.bincount(labels_of_train(tail), minlength=10)
    both = filled(real, noise(), SIZE)
    assert both.labels is not None
    np.testing.assert_array_equal(np.bincount(both.labels), np.maximum(before, SIZE))
    np.testing.assert_array_equal(both.gather(np.arange(len(real))), real.images)


def test_the_baseline_is_the_better_real_way_and_the_gain_is_beyond_it() -> None:
    labels = np.arange(200) % 2
    worse, better = labels.copy(), labels.copy()
    worse[:100] = 1 - worse[:100]
    better[:20] = 1 - better[:20]
    found = outcome({"real": worse, "real_balanced": better, "synthetic": worse, "real_synthetic": labels}, labels)
    assert found.baseline == "real_balanced"
    assert found.gain.value == pytest.approx(0.1)
    assert found.balanced_gain.value == pytest.approx(0.1)
    assert found.verdict == "helps"
    turned = outcome({"real": worse, "real_balanced": labels, "synthetic": worse, "real_synthetic": better}, labels)
    assert turned.verdict == "harms"
    same = outcome(dict.fromkeys(WAYS, better), labels)
    assert same.verdict == "no difference shown"
    assert same.gain.interval == Interval(0.0, 0.0, 0.95)


def test_a_class_that_is_all_right_is_not_beyond_doubt() -> None:
    labels = np.repeat([0, 1], [100, 8])
    recall = outcome(dict.fromkeys(WAYS, np.stack([labels] * 3)), labels).ways[REAL].recall
    assert recall[1].value == 1
    assert recall[1].interval.low == pytest.approx(8 / (8 + 1.96**2), abs=1e-3)  # Wilson's for 8 of 8


def test_recordings_are_told_apart_too() -> None:
    """Tones of two pitches, of which one is rare: real ones in place of synthetic ones fill it up."""
    form, draw = Form(kind="audio", shape=(1, 512), rate=4000), np.random.default_rng(0)

    def tones(labels: np.ndarray) -> Split:
        phase = draw.random((len(labels), 1)) + np.arange(512) * np.where(labels, 0.11, 0.1)[:, None]
        sound = 8000 * np.sin(2 * np.pi * phase) + 3000 * draw.standard_normal(phase.shape)
        return Split((sound[:, None].astype(np.int16),), labels, kind="audio")

    rare, other, test = tones(np.arange(40) % 20 // 19), tones(np.arange(80) % 2), tones(np.arange(60) % 2)
    found = {way: answers(way, rare, other, test, form, 2, size=40, images=1280, seed=0) for way in (REAL, BOTH)}
    assert (found[BOTH] == test.labels).mean() > 0.9
    assert filled(rare, other, 40).kind == "audio"


def test_a_set_without_labels_is_refused(tail: Shards) -> None:
    bare = Split(tail.split("train").parts, None)
    with pytest.raises(DataError, match="no labels"):
        answers(BOTH, bare, noise(), tail.split("test"), tail.form, 10, size=SIZE, images=10, seed=0)
    with pytest.raises(DataError, match="has no classes"):
        answers(REAL, bare, noise(), tail.split("test"), tail.form, 10, size=SIZE, images=10, seed=0)


def labels(tail: Shards) -> np.ndarray:
    found = tail.split("test").labels
    assert found is not None
    return found


def labels_of_train(tail: Shards) -> np.ndarray:
    found = tail.split("train").labels
    assert found is not None
    return found
