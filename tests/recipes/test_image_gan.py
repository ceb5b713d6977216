from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gan_core.config import Experiment
from gan_core.errors import ConfigError
from gan_core.losses.adversarial import OBJECTIVES
from gan_core.recipes.ada import AdaAugment
from gan_core.recipes.image_gan import ImageGan
from gan_core.recipes.recipe import DataSpec, build_recipe, judgement
from gan_core.systems.dcgan import Dcgan
from tests.recipes.games import CLASSES, LABEL, SHAPE, N, batch, draw, fakes, game, loss, networks, unpenalised

# the recipe's every branch, each with all of its networks
GAMES: dict[str, dict[str, Any]] = {
    "gan": {}, "dcgan": {}, "lsgan": {"instance_noise": {"std": 0.1, "until": 1000}}, "wgan": {},
    "wgan_gp": {"penalties": {"consistency": {}}}, "dragan": {"augment": {"method": "ada", "start": 0.5}},
    "acgan": {"discriminators": 2, "augment": {"method": "ada", "start": 0.5}},
    "sngan": {"attributes": ["hair"]}, "sagan": {"generator": {"attention": 8}, "discriminator": {"attention": 4}},
    "biggan": {"augment": {}, "latent": 6}, "r3gan": {"penalties": {"r1": {"every": 2}}},
}


@pytest.fixture(params=GAMES)
def any_game(request: pytest.FixtureRequest) -> ImageGan:
    return game(request.param, **GAMES[request.param])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_both_losses_are_what_the_objective_says_of_the_logits(objective: str) -> None:
    made = unpenalised(objective=objective, penalties={"clip": 0.01} if objective == "wasserstein" else {})
    nets = networks(made)
    fake, of = fakes(made, nets), OBJECTIVES[objective]
    real_logits, fake_logits = nets["discriminator"](batch()["image"], LABEL), nets["discriminator"](fake, LABEL)
    found = loss(made, "discriminator", nets)
    torch.testing.assert_close(found.per_example, of.discriminator(real_logits, fake_logits))
    torch.testing.assert_close(found.scalars["loss/discriminator"], found.per_example)
    torch.testing.assert_close(loss(made, "generator", nets).per_example, of.generator(fake_logits, real_logits))


def test_dcgan_s_losses_are_the_paper_s_with_half_gamma_r1() -> None:
    made = game(penalties={"r1": {"gamma": 0.5}})
    nets = networks(made)
    real, fake = batch()["image"].requires_grad_(), fakes(made, nets)
    real_logits, fake_logits = nets["discriminator"](real, LABEL), nets["discriminator"](fake, LABEL)
    (gradient,) = torch.autograd.grad(real_logits.sum(), real)
    of_d, of_g = loss(made, "discriminator", nets), loss(made, "generator", nets)
    want = softplus(-real_logits) + softplus(fake_logits) + 0.25 * gradient.square().sum((1, 2, 3))
    assert of_d.per_example.shape == of_g.per_example.shape == (N,)
    torch.testing.assert_close(of_d.per_example, want)
    torch.testing.assert_close(of_g.per_example, softplus(-fake_logits))
    assert of_g.scalars.keys() == {"loss/generator"}
    assert of_d.scalars.keys() \
        == {"loss/discriminator", "logits/real", "logits/fake", "accuracy/discriminator", "penalty/r1"}


def test_the_discriminator_s_phase_gives_the_generator_no_gradient(any_game: ImageGan) -> None:
    nets = networks(any_game)
    loss(any_game, "discriminator", nets).per_example.mean().backward()
    assert all(weight.grad is None for weight in nets["generator"].parameters())


def test_each_phase_gives_every_weight_that_it_trains_a_gradient(any_game: ImageGan) -> None:
    """DDP waits for one of each."""
    nets = networks(any_game)
    for phase in any_game.phases():
        for network in nets.values():
            network.zero_grad()
        loss(any_game, phase.name, nets).per_example.mean().backward()
        without = [f"{name}.{weight}" for name in phase.networks for weight, value in nets[name].named_parameters()
                   if value.grad is None]
        assert without == [], phase.name


def test_accuracy_is_the_share_of_logits_with_the_right_sign() -> None:
    found = judgement(torch.tensor([1.0, -1.0, 2.0, 0.5]), torch.tensor([-3.0, 1.0, -2.0, -1.0]))
    assert found["accuracy/discriminator"].mean() == 6 / 8


@pytest.mark.parametrize(("objective", "right"), [("hinge", 5 / 6), ("least_squares", 3 / 6), ("relativistic", 4 / 6)])
def test_accuracy_goes_by_the_objective_s_own_boundary(objective: str, right: float) -> None:
    made = unpenalised(objective=objective)
    values = torch.tensor([0.6, 0.4, 0.3, -0.3, -0.2, 2.5])  # three of real images, then of generated ones
    found = made._judgement(*values.chunk(2))
    assert found["accuracy/discriminator"].mean() == pytest.approx(right)


def test_a_critic_has_an_estimate_of_the_distance_in_place_of_an_accuracy() -> None:
    made = game("wgan")
    found = loss(made, "discriminator", networks(made)).scalars
    assert found.keys() == {"loss/discriminator", "logits/real", "logits/fake", "wasserstein/estimate"}
    torch.testing.assert_close(found["wasserstein/estimate"], found["logits/real"] - found["logits/fake"])
    torch.testing.assert_close(found["wasserstein/estimate"], -found["loss/discriminator"])


def test_the_generator_is_trained_as_seldom_as_the_critic_s_steps_say() -> None:
    made = unpenalised(critic_steps=5)
    assert [(phase.name, phase.every) for phase in made.phases()] == [("discriminator", 1), ("generator", 5)]


def test_each_network_has_the_optimizer_that_is_its_own() -> None:
    made = game(generator_optimizer={"learning_rate": 1e-3}, discriminator_optimizer={"algorithm": "sgd"},
                penalties={"r1": {"every": 2}})
    phases = {phase.name: phase.optimizer for phase in made.phases()}
    assert phases["generator"].learning_rate == 1e-3
    assert phases["discriminator"].algorithm == phases["r1"].algorithm == "sgd"


def test_several_discriminators_have_weights_of_their_own() -> None:
    made = game(discriminators=3)
    nets = networks(made)
    judges = ("discriminator", "discriminator_2", "discriminator_3")
    assert nets.keys() == {"generator", *judges}
    assert {phase.networks for phase in made.phases()} == {judges, ("generator",)}
    first, *others = (next(nets[name].parameters()) for name in judges)
    assert not any(torch.equal(first, other) for other in others)
    assert made.logits(nets, batch()).keys() == {*judges}


@pytest.mark.parametrize("every", [1, 4])
def test_each_of_several_descends_its_own_loss_and_the_generator_the_mean_of_theirs(every: int) -> None:
    r1 = {"r1": {"gamma": 0.5, "every": every}}
    made, alone = game(discriminators=2, penalties=r1), game(penalties=r1)
    nets = networks(made)
    for phase in made.phases():
        found = loss(made, phase.name, nets)
        each = [loss(alone, phase.name, {**nets, "discriminator": nets[judge]}) for judge in made.judges]
        both = torch.stack([one.per_example for one in each])
        torch.testing.assert_close(found.per_example, both.mean(0) if phase.name == "generator" else both.sum(0))
        assert found.scalars.keys() == each[0].scalars.keys()
        for name, value in found.scalars.items():
            torch.testing.assert_close(value, torch.stack([one.scalars[name].float().mean() for one in each]).mean())


def test_logits_of_real_examples_are_the_discriminator_s(any_game: ImageGan) -> None:
    nets = {name: network.eval() for name, network in networks(any_game).items()}
    given = batch()
    label = given["attributes"][:, 2:] if any_game.options.attributes else given["label"]
    found = any_game.logits(nets, given)
    for judge in any_game.judges:
        out = nets[judge](given["image"], label if any_game.options.conditional else None)
        assert torch.equal(found[judge], out if out.dim() == 1 else out[:, 0])
        assert found[judge].shape == (N,)


def test_networks_are_called_and_nothing_of_theirs_is_read(any_game: ImageGan) -> None:
    """Under DDP they are wrapped, but for one without parameters, which holds a state."""
    calls: dict[str, Callable[..., Tensor]] = {
        name: network if isinstance(network, AdaAugment) else lambda *args, n=network, **named: n(*args, **named)
        for name, network in networks(any_game).items()
    }
    for phase in any_game.phases():
        by_call = loss(any_game, phase.name, calls).per_example
        by_net = loss(any_game, phase.name, networks(any_game)).per_example
        assert torch.equal(by_call, by_net)
        calls |= {"augment": networks(any_game)["augment"]} if "augment" in calls else {}


def test_the_loss_depends_on_the_draw_and_on_nothing_else_random() -> None:
    made = game()
    nets = networks(made)
    for phase in made.phases():
        torch.manual_seed(1)
        first = loss(made, phase.name, nets).per_example
        torch.manual_seed(2)
        assert torch.equal(loss(made, phase.name, nets).per_example, first)
        assert not torch.equal(loss(made, phase.name, nets, "other").per_example, first)


def test_the_published_network_takes_the_weights_and_gives_what_sampling_gives(any_game: ImageGan) -> None:
    nets: dict[str, nn.Module] = {name: network.eval() for name, network in networks(any_game).items()}
    condition = any_game._condition(batch())
    inputs = any_game.inputs(draw(), condition)
    (name,), spec = any_game.published()
    built = spec.build().eval()
    built.load_state_dict(nets[name].state_dict())
    assert inputs.keys() == spec.inputs.keys() == ({"z"} if condition is None else {"z", "label"})
    assert {key: value.shape[1:] for key, value in inputs.items()} == {k: s.shape for k, s in spec.inputs.items()}
    assert torch.equal(built(**inputs), any_game.generate(nets, inputs))
    assert any_game.generate(nets, inputs).shape == (N, *spec.output)


def test_the_average_is_of_the_network_that_is_published(any_game: ImageGan) -> None:
    assert {*any_game.published()[0]} == {*any_game.averaged}
    with_weights = {name for name, net in any_game.networks().items() if any(True for _ in net.parameters())}
    assert {*any_game.averaged} <= with_weights
    assert {name for phase in any_game.phases() for name in phase.networks} == with_weights


def test_a_config_names_its_recipe(experiment: Callable[..., Experiment]) -> None:
    made = build_recipe(experiment(), DataSpec(SHAPE, CLASSES))
    assert isinstance(made, ImageGan)
    assert made.options.width == 8


@pytest.mark.parametrize("kind", ["audio", "tokens", "video"])
def test_data_that_is_no_images_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"dcgan makes images, and this data set holds {kind}"):
        ImageGan(Dcgan(), DataSpec((1, 1, 8000), 10, kind))
