from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

from gan_core.losses.auxiliary import attribute_loss, auxiliary_accuracy
from gan_core.options.conditions import Attribute, Conditions

CLASSES = Conditions(classes=3)
SMILING, HAIR = Attribute(name="smiling", kind="binary"), Attribute(name="hair", kind="categorical", values=3)
AGE = Attribute(name="age", kind="continuous", low=20, high=60)
MIXED = Conditions(attributes=(SMILING, HAIR, AGE))
VALUES = torch.tensor([[1.0, 2.0, 20.0], [0.0, 0.0, 50.0]])


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_classes_cost_their_cross_entropy() -> None:
    heads, label = drawn(4, 3), torch.tensor([0, 2, 1, 2])
    want = -log_softmax(heads, dim=1)[torch.arange(4), label]
    torch.testing.assert_close(attribute_loss(heads, label, CLASSES), want)


def test_attributes_of_each_kind_cost_what_their_kind_does_and_the_sum_is_taken() -> None:
    heads = drawn(2, MIXED.heads)
    want = torch.stack([
        -logsigmoid(heads[0, 0]) - log_softmax(heads[0, 1:4], 0)[2] + (heads[0, 4] + 1).square(),
        -logsigmoid(-heads[1, 0]) - log_softmax(heads[1, 1:4], 0)[0] + (heads[1, 4] - 0.5).square(),
    ])
    torch.testing.assert_close(attribute_loss(heads, VALUES, MIXED), want)


def test_predictions_that_are_right_cost_nothing_and_all_of_them_learn() -> None:
    sure = torch.tensor([[99.0, 0, 0, 99, -1], [-99, 99, 0, 0, 0.5]])
    torch.testing.assert_close(attribute_loss(sure, VALUES, MIXED), torch.zeros(2))
    heads = drawn(2, MIXED.heads).requires_grad_()
    (gradient,) = torch.autograd.grad(attribute_loss(heads, VALUES, MIXED).sum(), heads)
    assert gradient.all()


def test_accuracy_is_the_share_of_what_is_predicted_right() -> None:
    heads = torch.tensor([[1.0, 0, 0, 2, 7], [0.5, 3, 1, 1, -7]])
    found = auxiliary_accuracy(heads, VALUES, MIXED)
    assert found is not None
    assert found.tolist() == [1, 0.5]
    found = auxiliary_accuracy(torch.eye(3), torch.tensor([0, 1, 0]), CLASSES)
    assert found is not None
    assert found.tolist() == [1, 1, 0]


def test_of_continuous_attributes_there_is_no_accuracy() -> None:
    assert auxiliary_accuracy(drawn(2, 1), VALUES[:, 2:], Conditions(attributes=(AGE,))) is None


@pytest.mark.parametrize(("conditions", "label"), [(CLASSES, torch.tensor([0, 2])), (MIXED, VALUES)],
                         ids=["classes", "attributes"])
def test_each_example_is_judged_by_itself(conditions: Conditions, label: Tensor) -> None:
    heads = drawn(2, conditions.heads)
    alone = [attribute_loss(heads[i : i + 1], label[i : i + 1], conditions) for i in range(2)]
    torch.testing.assert_close(torch.cat(alone), attribute_loss(heads, label, conditions))
