"""What networks are told of each example: a label or attributes, right or wrong, and classifiers that tell it back."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy, softplus

from gan_core.config import with_overrides
from gan_core.errors import ConfigError
from gan_core.losses.auxiliary import attribute_loss
from gan_core.recipes.conditioning import with_wrong_labels
from gan_core.recipes.draw import Draw
from tests.recipes.games import (
    ATTRIBUTES,
    LABEL,
    N,
    Watched,
    batch,
    draw,
    drawn,
    fakes,
    game,
    loss,
    networks,
    shown,
    unpenalised,
)


def test_attributes_are_picked_from_the_data_in_the_order_that_the_settings_name_them() -> None:
    made = unpenalised(attributes=["hair", "age"])
    nets: dict[str, Any] = {**networks(made)}
    judge = nets["discriminator"] = Watched(nets["discriminator"])
    want = batch()["attributes"][:, [2, 0]]
    assert torch.equal(shown(made, nets)["condition"], want)
    loss(made, "generator", nets)
    assert torch.equal(judge.seen[0][1], want)  # type: ignore[arg-type]
    assert [attribute.name for attribute in made.conditions.attributes] == ["hair", "age"]
    assert made.conditions.attributes[1] == ATTRIBUTES[0]
    loss(made, "discriminator", nets)
    assert torch.equal(judge.seen[1][1], torch.cat([want, want]))  # type: ignore[arg-type]
    assert made.logits(nets, batch())["discriminator"].shape == (N,)
    assert torch.equal(judge.seen[2][1], want)  # type: ignore[arg-type]


def test_an_attribute_that_the_data_has_not_got_is_refused_with_the_nearest_that_it_has() -> None:
    with pytest.raises(ConfigError, match=r"^model\.attributes: hare: the data has no such attribute; "
                                          r"did you mean hair\? it has age, smiling, hair$"):
        game(attributes=["hare"])
    with pytest.raises(ConfigError, match=r"^model\.attributes: xyz: the data has no such attribute; it has age, "):
        game(attributes=["smiling", "xyz"])


def test_attributes_of_data_that_has_none_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"hair: the data has no attributes; model\.attributes=\[\] works"):
        game(attributes=["hair"], columns=())


@pytest.mark.parametrize(("system", "offered"), [
    ("dcgan", ["conditional=false"]), ("biggan", ["conditional=false"]),
    ("sngan", ["conditional=false", "generator.norm=batch"]),
    ("acgan", ["conditional=false", "discriminator.condition=projection", "wrong_labels=0"]),
])
def test_labels_that_are_asked_for_and_not_there_are_refused_with_settings_that_do_without(
    system: str, offered: list[str]
) -> None:
    options: dict[str, Any] = {"wrong_labels": 0.1} if system == "acgan" else {}
    with pytest.raises(ConfigError, match=r"^model\.conditional: true, but the data has no labels; ") as caught:
        game(system, classes=0, **options)
    assert re.findall(r"model\.([\w.]+=\w+)", str(caught.value)) == offered
    assert not game(system, classes=0, **with_overrides(options, offered)).conditions


def test_labels_are_left_out_when_not_asked_for() -> None:
    made = game(conditional=False)
    nets: dict[str, Any] = {**networks(made)}
    judge = nets["discriminator"] = Watched(nets["discriminator"])
    assert loss(made, "generator", nets).per_example.shape == (N,)
    assert judge.seen[0][1] is None
    assert made.inputs(draw(), None).keys() == {"z"}
    assert made.published()[1].inputs.keys() == {"z"}


def test_a_bundle_says_what_it_is_told() -> None:
    by_label, by_attributes = game(), game(attributes=["smiling", "hair"])
    label = by_label.published()[1].inputs["label"]
    assert (label.shape, label.distribution, label.classes) == ((), "condition", 10)
    told = by_attributes.published()[1].inputs["label"]
    assert (told.shape, told.distribution, told.classes) == ((2,), "condition", 0)
    assert told.attributes == (ATTRIBUTES[1], ATTRIBUTES[2])


def test_a_share_of_labels_is_exchanged_for_one_drawn_at_random() -> None:
    many = Draw(3, 128, 10_000, slice(0, 10_000), torch.device("cpu"))
    label = torch.full((10_000,), 3)
    found = with_wrong_labels(label, 0.3, 10, many)
    counts = found.bincount(minlength=10)
    assert counts[3] == pytest.approx(10_000 * (0.7 + 0.03), rel=0.03)
    others = counts[[0, 1, 2, 4, 5, 6, 7, 8, 9]]
    assert (others - 300).abs().max() < 5 * 300**0.5
    assert torch.equal(with_wrong_labels(label, 0.0, 10, many), label)
    assert torch.equal(with_wrong_labels(label, 0.3, 10, many), found)


def test_both_networks_are_told_the_same_wrong_labels() -> None:
    made = unpenalised(wrong_labels=1.0)
    nets: dict[str, Any] = {**networks(made)}
    judge, maker = Watched(nets["discriminator"]), Watched(nets["generator"])
    nets |= {"discriminator": judge, "generator": lambda z, label: maker(z, label)}
    want = draw().within("common").integers("label", 10)
    assert not torch.equal(want, LABEL)
    for phase in ("discriminator", "generator"):
        loss(made, phase, nets)
    assert all(torch.equal(label, want) for _, label in maker.seen)  # type: ignore[arg-type]
    assert torch.equal(judge.seen[0][1], torch.cat([want, want]))  # type: ignore[arg-type]
    assert torch.equal(judge.seen[1][1], want)  # type: ignore[arg-type]


@pytest.mark.parametrize("attributes", [[], ["smiling", "hair"], ["age"]])
def test_a_classifier_is_trained_on_real_and_generated_images_and_the_generator_to_be_told_right(
    attributes: list[str]
) -> None:
    made = unpenalised(attributes=attributes, discriminator={"condition": "auxiliary"}, auxiliary_weight=0.5)
    nets = networks(made)
    told = made._condition(batch())
    assert told is not None
    real, fake = (nets["discriminator"](images, told) for images in (batch()["image"], fakes(made, nets)))
    wrong = [attribute_loss(out[:, 1:], told, made.conditions) for out in (real, fake)]
    assert real.shape == (N, 1 + made.conditions.heads)
    of_d, of_g = loss(made, "discriminator", nets), loss(made, "generator", nets)
    torch.testing.assert_close(of_d.scalars["auxiliary/loss"], wrong[0] + wrong[1])
    torch.testing.assert_close(of_d.per_example, softplus(-real[:, 0]) + softplus(fake[:, 0]) + 0.5 * sum(wrong))
    torch.testing.assert_close(of_g.per_example, softplus(-fake[:, 0]) + 0.5 * wrong[1])
    torch.testing.assert_close(of_g.scalars["loss/generator"], softplus(-fake[:, 0]))
    assert ("auxiliary/accuracy" in of_d.scalars) is (attributes != ["age"])


def test_of_labels_that_is_the_cross_entropy_and_the_curve_the_share_told_right_of_real_images() -> None:
    made = game("acgan", discriminator={"norm": "none", "dropout": 0})
    nets = networks(made)
    found = loss(made, "discriminator", nets).scalars
    of_real, of_fake = (nets["discriminator"](images)[:, 1:] for images in (batch()["image"], fakes(made, nets)))
    torch.testing.assert_close(found["auxiliary/loss"], cross_entropy(of_real, LABEL, reduction="none")
                               + cross_entropy(of_fake, LABEL, reduction="none"))
    assert torch.equal(found["auxiliary/accuracy"], (of_real.argmax(1) == LABEL).float())


def test_a_discriminator_that_classifies_is_not_told_what_it_is_to_tell() -> None:
    made = game("acgan", discriminator={"norm": "none"})
    judge = networks(made)["discriminator"].eval()
    assert torch.equal(judge(batch()["image"], LABEL), judge(batch()["image"], (LABEL + 1) % 10))
    projecting = networks(game())["discriminator"]
    assert not torch.equal(projecting(batch()["image"], LABEL), projecting(batch()["image"], (LABEL + 1) % 10))


TARGETS = {"smooth_real": 0.1, "smooth_fake": 0.2, "flipped": 0.49}


@pytest.mark.parametrize("targets", [{"smooth_real": 0.1}, {"smooth_fake": 0.2}, {"flipped": 0.49}, TARGETS])
@pytest.mark.parametrize("objective", ["non_saturating", "least_squares"])
def test_softened_labels_move_the_targets_and_a_flipped_one_is_the_other_side_s(
    objective: str, targets: dict[str, float]
) -> None:
    made = unpenalised(objective=objective, targets=targets)
    nets = networks(made)
    real, fake = (nets["discriminator"](images, LABEL).tolist() for images in (batch()["image"], fakes(made, nets)))
    for_real, for_fake = 1 - targets.get("smooth_real", 0), targets.get("smooth_fake", 0)
    flips = [drawn("discriminator").uniform(f"flip {kind}") < targets.get("flipped", 0) for kind in ("real", "fake")]
    if "flipped" in targets:
        assert all(0 < flip.sum() < N for flip in flips)
        assert not torch.equal(*flips)

    def told(logit: float, target: float) -> float:
        """½ (D − t)², or −t log σ(D) − (1 − t) log σ(−D)."""
        if objective == "least_squares":
            return (logit - target) ** 2 / 2
        value = torch.tensor(logit)
        return float(-target * value.sigmoid().log() - (1 - target) * (-value).sigmoid().log())

    want = [told(of_real, for_fake if flip_real else for_real)
            + told(of_fake, for_real if flip_fake else for_fake)
            for of_real, of_fake, flip_real, flip_fake in zip(real, fake, *flips, strict=True)]
    found = loss(made, "discriminator", nets)
    torch.testing.assert_close(found.per_example.detach(), torch.tensor(want), rtol=1e-4, atol=1e-5)


def test_the_generator_s_targets_stay_as_they_are() -> None:
    """Salimans et al. 2016, 3.4: softened labels are the discriminator's."""
    made, without = unpenalised(targets=TARGETS), unpenalised()
    nets = networks(made)
    assert torch.equal(loss(made, "generator", nets).per_example, loss(without, "generator", nets).per_example)
