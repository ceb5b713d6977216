from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from gan_core.data.sampler import Weighted
from gan_core.data.weights import Sampling, weights_for
from gan_core.errors import ConfigError

NAMES = ("cat", "dog", "owl", "yak")
LABELS = np.array([0] * 1 + [1] * 4 + [2] * 100)  # no yak


def weights(sampling: Sampling, labels: Any = LABELS, **columns: list[float]) -> Any:
    numbers = {name: np.array(values, np.float64) for name, values in columns.items()}
    return weights_for(sampling, labels=labels, class_names=NAMES, columns=numbers)


def of_classes(sampling: Sampling) -> list[float]:
    """How often each class is drawn, in comparison with all of them."""
    by_class = np.bincount(LABELS, weights=weights(sampling))
    return (by_class / by_class.sum()).tolist()


def test_a_natural_order_has_no_weights() -> None:
    assert weights("natural") is None
    assert weights("natural", labels=None) is None


@pytest.mark.parametrize(
    ("sampling", "shares"),
    [
        ("balanced", [1, 1, 1]),
        ("sqrt", [1, 2, 10]),
        ({"cat": 2, "dog": 1, "owl": 1}, [2, 1, 1]),
        ({"cat": 5}, [5, 1, 1]),
        ({"0": 5, "owl": 0}, [5, 1, 0]),
        ({0: 5, 2: 0.5}, [5, 1, 0.5]),
        ({"yak": 0, "dog": 3}, [1, 3, 1]),
        ({"yak": 0, "dog": 1e300, "cat": 1e300}, [1, 1, 1e-300]),
    ],
)
def test_classes_are_drawn_as_often_as_their_shares_say(sampling: Sampling, shares: list[float]) -> None:
    assert of_classes(sampling) == pytest.approx([share / sum(shares) for share in shares])


def test_examples_of_one_class_are_drawn_alike() -> None:
    assert all(len(set(weights("sqrt")[label == LABELS])) == 1 for label in range(3))


def test_a_balanced_order_draws_a_rare_class_as_often() -> None:
    drawn = LABELS[Weighted(weights("balanced"), seed=0).at(0, 30_000)]
    assert chisquare(np.bincount(drawn)).pvalue > 0.01


def test_a_class_of_weight_zero_is_never_drawn() -> None:
    drawn = LABELS[Weighted(weights({"owl": 0}), seed=0).at(0, 10_000)]
    assert set(drawn) == {0, 1}


def test_a_mapping_means_the_same_after_a_passage_through_json() -> None:
    sampling = {0: 2, 2: 3.5}
    assert (weights(sampling) == weights(json.loads(json.dumps(sampling)))).all()


def test_a_class_s_name_goes_before_its_label() -> None:
    found = weights_for({"1": 4}, labels=np.array([0, 1]), class_names=("1", "0"), columns={})
    assert found is not None
    assert found.tolist() == [4, 1]


def test_labels_stand_for_classes_without_names() -> None:
    found = weights_for({"7": 4}, labels=np.array([3, 7]), columns={})
    assert found is not None
    assert found.tolist() == [1, 4]


@pytest.mark.parametrize("name", ["weight", "quality"])
def test_a_column_is_its_own_weights(name: str) -> None:
    assert weights({"column": name}, labels=None, **{name: [0, 2.5, 1]}).tolist() == [0, 2.5, 1]


def test_a_class_may_be_called_column() -> None:
    found = weights_for({"column": 3}, labels=np.array([0, 1]), class_names=("row", "column"), columns={})
    assert found is not None
    assert found.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ("even", "train.sampling=even: not a way to sample; natural, balanced and sqrt are"),
        ({"lion": 1}, r"train.sampling.lion=1: no such class; the classes are cat \(0\), dog \(1\), owl \(2\)"),
        ({7: 1}, "train.sampling.7=1: no such class"),
        ({"-1": 1}, "train.sampling.-1=1: no such class"),
        ({"9" * 5000: 1}, "no such class"),
        ({"²": 1}, "train.sampling.²=1: no such class"),
        ({"yak": 1}, "train.sampling.yak=1: no training example is of that class; those that have some are cat"),
        ({"cat": -1}, "train.sampling.cat=-1: a weight is a number of 0 or more"),
        ({"cat": float("nan")}, "train.sampling.cat=nan: a weight is a number"),
        ({"cat": float("inf")}, "train.sampling.cat=inf: a weight is a number"),
        ({"cat": "much"}, "train.sampling.cat=much: a weight is a number"),
        ({"cat": True}, "train.sampling.cat=True: a weight is a number"),
        ({"cat": 1, 0: 2}, "train.sampling.0=2: the class with the label 0 is named twice"),
        ({"cat": 0, "dog": 0, "owl": 0}, "train.sampling={cat: 0, dog: 0, owl: 0}: every class has the weight 0"),
        ({"column": "age"}, "train.sampling.column=age: the set has no such column of numbers; it has quality, bad"),
        ({"column": "quality", "cat": 1}, "a column stands alone; train.sampling={column: quality} works"),
        ({"column": "bad"}, "train.sampling.column=bad: training example 1 has nan; a weight is"),
        ({"column": "negative"}, "train.sampling.column=negative: training example 0 has -1.0; a weight is"),
        ({"column": "zero"}, "train.sampling.column=zero: every training example has 0"),
    ],
)
def test_what_cannot_be_sampled_is_answered_with_what_can(sampling: Sampling, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        weights(sampling, quality=[1, 2], bad=[1, np.nan], negative=[-1, 1], zero=[0, 0])


@pytest.mark.parametrize("sampling", ["balanced", "sqrt", {"cat": 1}])
def test_classes_need_labels(sampling: Sampling) -> None:
    with pytest.raises(ConfigError, match=r"^train.sampling=.* needs labels.*train.sampling=natural works$"):
        weights(sampling, labels=None)


def test_a_column_of_a_set_without_numbers_is_answered_with_what_works() -> None:
    with pytest.raises(ConfigError, match=r"it has none; train\.sampling=natural works"):
        weights({"column": "age"})


def test_of_many_classes_a_message_lists_a_few() -> None:
    with pytest.raises(ConfigError, match=r", 19 and 980 more$"):
        weights_for({"lion": 1}, labels=np.arange(1000), columns={})
