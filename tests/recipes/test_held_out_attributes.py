"""Held-out examples may have attributes that no training example had; they are judged as the nearest that had."""

from __future__ import annotations

import torch

from gan_core.options.conditions import Attribute, Conditions
from gan_core.recipes.conditioning import within
from gan_core.recipes.image_gan import ImageGan
from gan_core.recipes.recipe import DataSpec
from gan_core.systems.dcgan import Dcgan

KNOWN = (Attribute(name="hair", kind="categorical", values=3),
         Attribute(name="age", kind="continuous", low=18, high=80), Attribute(name="smiling", kind="binary"))
BEYOND, NEAREST = [[7.0, 99.0, 2.0], [-1.0, 3.0, -1.0]], [[2.0, 80.0, 1.0], [0.0, 18.0, 0.0]]


def test_values_beyond_the_training_set_s_are_brought_to_its_ends() -> None:
    found = within(torch.tensor(BEYOND), Conditions(attributes=KNOWN))
    assert found.tolist() == NEAREST
    inside = torch.tensor([[1.0, 40.5, 1.0]])
    assert torch.equal(within(inside, Conditions(attributes=KNOWN)), inside)


def test_labels_stay_as_they_are() -> None:
    labels = torch.tensor([0, 9])
    assert within(labels, Conditions(classes=10)) is labels


def test_a_discriminator_judges_an_example_with_an_unseen_attribute_as_the_nearest() -> None:
    recipe = ImageGan(Dcgan(width=4, attributes=("hair", "age", "smiling")), DataSpec((1, 8, 8), 0, attributes=KNOWN))
    nets = recipe.networks()
    images = torch.randn(2, 1, 8, 8)
    found, wanted = (recipe.logits(nets, {"image": images, "attributes": torch.tensor(values)})["discriminator"]
                     for values in (BEYOND, NEAREST))
    assert torch.equal(found, wanted)
