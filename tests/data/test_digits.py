from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError
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


# a long tail


def sizes(source: Digits, split: str = "train") -> list[int]:
    """The examples of each digit."""
    counts = Counter(e.label for e in source.examples(split) if isinstance(e, Example))
    return [counts[digit] for digit in range(10)]


def test_a_long_tail_falls_from_all_of_the_first_class_by_one_factor_to_the_last() -> None:
    whole, cut = sizes(Digits()), sizes(Digits(imbalance=50))
    assert cut == [128, 77, 52, 35, 22, 15, 9, 6, 4, 3]
    assert all(abs(left - all_of * 50 ** (-digit / 9)) <= 0.5
               for digit, (left, all_of) in enumerate(zip(cut, whole, strict=True)))


def test_a_class_keeps_one_example_at_least() -> None:
    assert min(sizes(Digits(imbalance=1e6))) == 1


def test_what_is_left_are_training_digits_in_their_order() -> None:
    whole, cut = ([e.where for e in Digits(imbalance=ratio).examples("train") if isinstance(e, Example)]
                  for ratio in (1, 50))
    assert cut == [where for where in whole if where in cut]
    assert len(cut) == len({*cut}) == Digits(imbalance=50).splits()["train"]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_validation_and_test_stay_whole(split: str) -> None:
    assert sizes(Digits(imbalance=50), split) == sizes(Digits(), split)
    assert Digits(imbalance=50).splits()[split] == Digits().splits()[split]


def test_a_part_of_a_long_tail_is_that_stretch_of_it() -> None:
    source = Digits(imbalance=50)
    whole, part = list(source.examples("train")), list(source.part("train", 300, 400))
    assert [e.where for e in part] == [e.where for e in whole[300:]]


@pytest.mark.parametrize("ratio", [0.5, float("inf"), float("nan")])
def test_an_imbalance_that_is_none_is_refused(ratio: float) -> None:
    with pytest.raises(ValidationError):
        Digits(imbalance=ratio)
