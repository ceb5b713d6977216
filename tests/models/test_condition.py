from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gan_core.errors import ConfigError
from gan_core.models.condition import ConditionEmbedding, ConditionMap, Verdict, encoded
from gan_core.options.conditions import Attribute, Conditions
from gan_core.options.networks import ConditionBy

CLASSES = Conditions(classes=3)
ATTRIBUTES = Conditions(attributes=(
    Attribute(name="smiling", kind="binary"),
    Attribute(name="hair", kind="categorical", values=3),
    Attribute(name="age", kind="continuous", low=20, high=60),
))
LABEL = torch.tensor([2, 0, 1, 2])
VALUES = torch.tensor([[0.0, 2, 20], [1, 0, 60], [1, 1, 40], [0, 0, 30]])
BOTH = pytest.mark.parametrize(("conditions", "label"), [(CLASSES, LABEL), (ATTRIBUTES, VALUES)],
                               ids=["classes", "attributes"])


def test_a_label_is_encoded_one_hot_and_values_from_minus_one_to_one() -> None:
    assert encoded(LABEL, CLASSES).tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert encoded(VALUES, ATTRIBUTES).tolist() == [
        [-1, 0, 0, 1, -1], [1, 1, 0, 0, 1], [1, 0, 1, 0, 0], [-1, 1, 0, 0, -0.5]]


@BOTH
def test_an_embedding_is_the_sum_of_rows_times_values(conditions: Conditions, label: Tensor) -> None:
    embed = ConditionEmbedding(conditions, 6)
    assert embed.weight.shape == (conditions.heads, 6)
    torch.testing.assert_close(embed(label), encoded(label, conditions) @ embed.weight)


def test_an_unseen_combination_is_composed_of_seen_ones() -> None:
    embed = ConditionEmbedding(ATTRIBUTES, 6)
    bald, smiling, both, neither = embed(torch.tensor([[0.0, 1, 40], [1, 0, 40], [1, 1, 40], [0, 0, 40]]))
    torch.testing.assert_close(both, bald + smiling - neither)
    assert not torch.allclose(both, bald)


def test_nothing_to_be_told_is_refused() -> None:
    with pytest.raises(ConfigError, match="classes or attributes work"):
        ConditionEmbedding(Conditions(), 6)


@BOTH
def test_a_map_is_one_more_channel_that_differs_by_label(conditions: Conditions, label: Tensor) -> None:
    made = ConditionMap(conditions, 4, 5)
    assert made(label).shape == (4, 1, 4, 5)
    assert torch.equal(made(label).flatten(1), made.embed(label))
    assert not torch.allclose(made(label)[0], made(label)[1])


@BOTH
def test_projection_adds_the_label_s_embedding_times_the_features(conditions: Conditions, label: Tensor) -> None:
    verdict, x = Verdict(7, conditions, "projection"), torch.randn(4, 7)
    assert verdict.embed is not None
    want = x @ verdict.linear.weight[0] + verdict.linear.bias + (verdict.embed(label) * x).sum(1)
    torch.testing.assert_close(verdict(x, label), want)


@BOTH
def test_an_auxiliary_verdict_predicts_what_it_is_not_told(conditions: Conditions, label: Tensor) -> None:
    verdict, x = Verdict(7, conditions, "auxiliary"), torch.randn(4, 7)
    assert verdict(x, label).shape == (4, 1 + conditions.heads)
    assert torch.equal(verdict(x, label), verdict(x, label.flip(0)))


@pytest.mark.parametrize(("conditions", "by"), [(Conditions(), "projection"), (Conditions(), "auxiliary"),
                                                (Conditions(), "embedding"), (CLASSES, "embedding")])
def test_otherwise_a_verdict_is_one_linear_layer(conditions: Conditions, by: ConditionBy) -> None:
    verdict, x = Verdict(7, conditions, by), torch.randn(4, 7)
    assert verdict(x).shape == (4,)
    assert {*verdict.state_dict()} == {"linear.weight", "linear.bias"}
    assert {*Verdict(7, conditions, by, bias=False).state_dict()} == {"linear.weight"}
