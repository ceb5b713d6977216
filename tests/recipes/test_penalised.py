from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gan_core.data.augment import flipped, shifted
from gan_core.losses.penalties import l1, l2, orthogonal
from gan_core.options.losses import OnWeights
from gan_core.recipes.image_gan import ImageGan
from gan_core.recipes.penalised import cut_weights, on_weights
from tests.recipes.games import LABEL, N, Watched, batch, drawn, fakes, game, loss, networks, slope, unpenalised


def watched(made: ImageGan) -> tuple[dict[str, Any], Watched, Tensor]:
    """The networks, with the first discriminator watched from here on, and what the generator makes."""
    nets: dict[str, Any] = {**networks(made)}
    fake, judge = fakes(made, nets), Watched(nets["discriminator"])
    return {**nets, "discriminator": judge}, judge, fake


def plain(judge: Watched, real: Tensor, fake: Tensor) -> Tensor:
    """The non-saturating loss without penalties."""
    return softplus(-judge.network(real, LABEL)) + softplus(judge.network(fake, LABEL))


def test_without_penalties_the_loss_is_the_objective_s_from_one_call() -> None:
    made = unpenalised()
    nets, judge, fake = watched(made)
    found = loss(made, "discriminator", nets)
    assert [len(images) for images in judge.images] == [2 * N]
    assert not any(name.startswith("penalty") for name in found.scalars)
    torch.testing.assert_close(found.per_example, plain(judge, batch()["image"], fake))


def test_r1_and_r2_are_half_their_gammas_times_squared_gradients_at_real_and_at_generated_images() -> None:
    made = game(penalties={"r1": {"gamma": 0.5}, "r2": {"gamma": 3.0}})
    nets, judge, fake = watched(made)
    found, real = loss(made, "discriminator", nets), batch()["image"]
    r1, r2 = (slope(judge.network, images, LABEL).square().sum(1) for images in (real, fake))
    torch.testing.assert_close(found.scalars["penalty/r1"], r1)
    torch.testing.assert_close(found.scalars["penalty/r2"], r2)
    torch.testing.assert_close(found.per_example, plain(judge, real, fake) + 0.25 * r1 + 1.5 * r2)
    assert (0.25 * r1 + 1.5 * r2 > 0.01).all()


@pytest.mark.parametrize(("name", "other"), [("r1", "r2"), ("r2", "r1")])
def test_a_lazy_penalty_is_a_phase_of_its_own_that_weighs_as_much_more_as_it_is_rarer(name: str, other: str) -> None:
    eager = game(penalties={"r1": {"gamma": 1}, "r2": {"gamma": 1}})
    lazy = game(penalties={name: {"gamma": 0.5, "every": 4}, other: {"gamma": 3.0}})
    nets = networks(lazy)
    beside = loss(lazy, "discriminator", nets)
    assert f"penalty/{name}" not in beside.scalars
    torch.testing.assert_close(beside.per_example,
                               beside.scalars["loss/discriminator"] + 1.5 * beside.scalars[f"penalty/{other}"])
    found = loss(lazy, name, nets)
    assert found.scalars.keys() == {f"penalty/{name}"}
    both = loss(eager, "discriminator", nets).scalars
    torch.testing.assert_close(found.scalars[f"penalty/{name}"], both[f"penalty/{name}"])
    torch.testing.assert_close(found.per_example, 4 * 0.25 * found.scalars[f"penalty/{name}"])
    assert [(phase.name, phase.every, phase.shares) for phase in lazy.phases()] \
        == [("discriminator", 1, None), (name, 4, "discriminator"), ("generator", 1, None)]


@pytest.mark.parametrize("condition", ["projection", "embedding", "auxiliary"])
@pytest.mark.parametrize("name", ["r1", "r2"])
def test_a_lazy_penalty_leaves_every_weight_a_gradient_and_the_last_bias_none_but_0(name: str, condition: str) -> None:
    made = game(discriminators=2, discriminator={"condition": condition}, penalties={"r1": None, name: {"every": 16}})
    nets = networks(made)
    loss(made, name, nets).per_example.sum().backward()
    for judge in made.judges:
        found = {weight: value.grad for weight, value in nets[judge].named_parameters()}
        assert all(gradient is not None for gradient in found.values())
        assert not found["judge.linear.bias"].any()  # type: ignore[union-attr]
        assert found["judge.linear.weight"].any()  # type: ignore[union-attr]


def test_a_penalty_on_gradients_reaches_the_weights_by_a_second_order_gradient() -> None:
    made, without = game(penalties={"r1": {"gamma": 1e6}}), unpenalised()
    nets = networks(made)
    weights = dict(nets["discriminator"].named_parameters())
    penalised, plain_ones = (
        torch.autograd.grad(loss(of, "discriminator", nets).per_example.mean(), [*weights.values()])
        for of in (made, without)
    )
    moved = {name for name, a, b in zip(weights, penalised, plain_ones, strict=True) if not torch.allclose(a, b)}
    assert moved >= {"from_image.weight", "downs.0.weight", "judge.linear.weight", "judge.embed.weight"}


@pytest.mark.parametrize(("name", "one_sided"), [("gradient", False), ("gradient", True), ("zero_centred", False)])
def test_penalties_between_real_and_generated_images_are_taken_where_the_draw_says(name: str, one_sided: bool) -> None:
    settings = {"weight": 7.0, **({"one_sided": True} if one_sided else {})}
    made = unpenalised(penalties={name: settings})
    nets, judge, fake = watched(made)
    found, real = loss(made, "discriminator", nets), batch()["image"]
    share = drawn("discriminator").uniform(name).view(N, 1, 1, 1)
    points = judge.images[-1]
    torch.testing.assert_close(points, fake + share * (real - fake))
    gradient = slope(judge.network, points, LABEL)
    excess = gradient.norm(dim=1) - 1
    want = gradient.square().sum(1) if name == "zero_centred" else \
        (excess.clamp(min=0) if one_sided else excess).square()
    torch.testing.assert_close(found.scalars[f"penalty/{name}"], 7 * want)
    torch.testing.assert_close(found.per_example, plain(judge, real, fake) + 7 * want)
    assert want.any()
    if one_sided:
        assert not want.all()
    loss(made, "discriminator", nets, "other")
    assert not torch.allclose(judge.images[-1], points)


def test_dragan_s_penalty_is_taken_around_real_images_as_far_as_they_are_spread() -> None:
    made = unpenalised(penalties={"dragan": {"weight": 7.0, "spread": 0.5}})
    nets, judge, fake = watched(made)
    found, real = loss(made, "discriminator", nets), batch()["image"]
    moved = (judge.images[-1] - real) / (0.5 * real.std(correction=0))
    torch.testing.assert_close(moved, drawn("discriminator").uniform("dragan", *real.shape[1:]))
    want = 7 * (slope(judge.network, judge.images[-1], LABEL).norm(dim=1) - 1).square()
    torch.testing.assert_close(found.per_example, plain(judge, real, fake) + want)


def test_penalties_at_different_points_are_added_up() -> None:
    every: dict[str, Any] = {"gradient": {"weight": 2.0}, "dragan": {"weight": 3.0}, "zero_centred": {"weight": 5.0},
                             "consistency": {}}
    made = game(penalties={"r1": {"gamma": 1}, "r2": {"gamma": 1}, **every})
    found = loss(made, "discriminator", networks(made))
    added = [found.scalars[f"penalty/{name}"] for name in every]
    halves = (found.scalars["penalty/r1"] + found.scalars["penalty/r2"]) / 2
    torch.testing.assert_close(found.per_example, found.scalars["loss/discriminator"] + sum(added) + halves)


def changed(images: Tensor, kind: str, shift: int) -> Tensor:
    """Flipped and moved as the consistency penalty's draw says."""
    own = drawn("discriminator").within(f"consistency {kind}")
    return shifted(flipped(images, own.uniform("flip") < 0.5), own.integers("shift", 2 * shift + 1, 2) - shift)


@pytest.mark.parametrize("shift", [0, 2])
def test_consistency_compares_what_is_said_of_images_and_of_the_same_flipped_and_moved(shift: int) -> None:
    made = unpenalised(penalties={"consistency": {"real": 3.0, "fake": 5.0, "shift": shift}})
    nets, judge, fake = watched(made)
    found, want = loss(made, "discriminator", nets), torch.zeros(N)
    for weight, kind, images, shown in ((3, "real", batch()["image"], judge.images[1]),
                                        (5, "fake", fake, judge.images[2])):
        torch.testing.assert_close(shown, changed(images, kind, shift))
        kept = [torch.equal(a, b) or (shift == 0 and torch.equal(a, b.flip(2)))
                for a, b in zip(shown, images, strict=True)]
        assert not all(torch.equal(a, b) for a, b in zip(shown, images, strict=True))
        assert all(kept) if shift == 0 else not all(kept)
        want += weight * (judge.network(images, LABEL) - judge.network(shown, LABEL)).square()
    torch.testing.assert_close(found.scalars["penalty/consistency"], want)
    torch.testing.assert_close(found.per_example, plain(judge, batch()["image"], fake) + want)


def test_consistency_of_generated_images_alone_looks_at_no_others() -> None:
    made = unpenalised(penalties={"consistency": {"real": 0, "fake": 5.0}})
    nets, judge, fake = watched(made)
    loss(made, "discriminator", nets)
    assert len(judge.seen) == 2
    torch.testing.assert_close(judge.images[1], changed(fake, "fake", 4))


@pytest.mark.parametrize("phase", ["discriminator", "r1", "generator"])
def test_clipping_cuts_every_discriminator_s_weights_after_its_own_steps_alone(phase: str) -> None:
    made = game("wgan", discriminators=2, discriminator={"norm": "none"},
                penalties={"clip": 0.01, "r1": {"every": 2}})
    nets = networks(made)
    before = {name: [weight.clone() for weight in net.parameters()] for name, net in nets.items()}
    made.after_step(phase, nets)
    for name, net in nets.items():
        cut = phase != "generator" and name != "generator"
        for weight, was in zip(net.parameters(), before[name], strict=True):
            assert torch.equal(weight, was.clamp(-0.01, 0.01) if cut else was), name
    assert any((was.abs() > 0.01).any() for was in before["discriminator_2"])


def test_nothing_is_cut_that_is_not_to_be() -> None:
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.3, -0.5]]))
        layer.bias.fill_(0.1)
    cut_weights(layer, 0.4)
    torch.testing.assert_close(layer.weight.detach(), torch.tensor([[0.3, -0.4]]))
    assert layer.bias.item() == pytest.approx(0.1)


@pytest.mark.parametrize("named", ["discriminator", "generator"])
def test_penalties_on_weights_are_of_the_networks_they_name(named: str) -> None:
    made = game(discriminators=2, penalties={"r1": {"every": 2}, f"{named}_weights": {"l1": 0.1, "l2": 0.2}})
    nets = networks(made)
    for phase in made.phases():
        own = {name: nets[name] for name in phase.networks}
        found = made.weight_loss(phase.name, own)
        if phase.name != named:
            assert found is None
            continue
        weights = [weight for net in own.values() for weight in net.parameters()]
        assert found is not None
        torch.testing.assert_close(found.scalars["penalty/l1"], 0.1 * l1(weights))
        torch.testing.assert_close(found.per_example, 0.1 * l1(weights) + 0.2 * l2(weights))
        assert found.per_example.shape == ()
        assert found.scalars.keys() == {"penalty/l1", "penalty/l2"}


def test_embeddings_need_not_be_orthogonal_and_are_kept_small_all_the_same() -> None:
    embeds, linear = nn.Embedding(4, 3), nn.Linear(3, 2)
    network = nn.Sequential(embeds, linear)
    found = on_weights(OnWeights(orthogonal=0.5, l2=1.0), {"generator": network})
    assert found is not None
    torch.testing.assert_close(found.scalars["penalty/orthogonal"], 0.5 * orthogonal([linear.weight]))
    torch.testing.assert_close(found.scalars["penalty/l2"], l2([embeds.weight, linear.weight, linear.bias]))
    assert on_weights(OnWeights(), {"generator": network}) is None
