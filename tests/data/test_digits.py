from __future__ import annotations

import re
from collections import Counter

import numpy as np
from sklearn.datasets import load_digits

from gan_core.data.source import SPLITS, Example
from gan_core.data.sources.digits import Digits


def test_the_splits_have_their_sizes_and_every_class() -> None:
    examples = {split: list(Digits().examples(split)) for split in SPLITS}
    assert {split: len(found) for split, found in examples.items()} == {"train": 1257, "validation": 180, "test": 360}
    for found in examples.values():
        assert {example.label for example in found} == {*range(10)}
        assert all(example.image.shape == (8, 8) and example.image.dtype == np.uint8 for example in found)


def test_the_splits_together_are_scikit_learn_s_digits_each_once() -> None:
    ours = Counter((e.image.tobytes(), e.label) for split in SPLITS for e in Digits().examples(split))
    images, labels = load_digits(return_X_y=True)
    levels = np.rint(images * 255 / 16).astype(np.uint8)
    assert ours == Counter((image.tobytes(), int(label)) for image, label in zip(levels, labels, strict=True))


def test_every_level_of_ink_can_be_told_from_the_grey() -> None:
    levels = np.unique([example.image for example in Digits().examples("train")]).astype(float)
    assert np.rint(levels * 16 / 255).tolist() == [*range(17)]
    assert (levels[0], levels[-1]) == (0, 255)


def test_the_order_is_the_same_every_time() -> None:
    first, second = ([(e.image.tobytes(), e.label) for e in Digits().examples("train")] for _ in range(2))
    assert first == second
    assert [label for _, label in first[:8]] == [1, 3, 9, 2, 1, 8, 8, 8]  # a split once dealt stays dealt


def test_the_fingerprint_is_of_the_data_and_stays() -> None:
    assert re.fullmatch("[0-9a-f]{64}", Digits().fingerprint())
    assert Digits().fingerprint() == Digits().fingerprint()


def test_a_split_that_it_lacks_has_nothing() -> None:
    assert not list(Digits().examples("dev"))


def test_a_part_is_that_stretch_of_its_split() -> None:
    whole, part = list(Digits().examples("test")), list(Digits().part("test", 100, 120))
    assert [e.where for e in part if isinstance(e, Example)] == [e.where for e in whole[100:120]]
