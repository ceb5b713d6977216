from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gan_core.config import Experiment
from gan_core.errors import ConfigError
from gan_core.recipes.draw import Draw
from gan_core.recipes.image_gan import ImageGan
from gan_core.recipes.recipe import DataSpec, Loss, build_recipe, judgement
from gan_core.systems.dcgan import Dcgan

N, SHAPE, CLASSES = 6, (1, 8, 8), 10
LABEL = torch.arange(N) % CLASSES


def recipe(classes: int = CLASSES, r1: float | None = 1.0, every: int = 1, **options: Any) -> ImageGan:
    penalties = {"r1": {"gamma": r1, "every": every} if r1 else None}
    settings: dict[str, Any] = {"width": 4, "latent": 5, "penalties": penalties, **options}
    return ImageGan(Dcgan(**settings), DataSpec(SHAPE, classes))


def networks(of: ImageGan) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {name: network.train() for name, network in of.networks().items()}


def batch() -> dict[str, Tensor]:
    return {"image": torch.randn(N, *SHAPE, generator=torch.Generator().manual_seed(2)), "label": LABEL}


def draw(purpose: str = "") -> Draw:
    return Draw(3, 128, N, slice(0, N), torch.device("cpu"), purpose)


def loss(made: ImageGan, phase: str, nets: Any, purpose: str = "") -> Loss:
    """A phase's loss on the batch, as the engine asks for it."""
    whole = {**batch(), **made.common(nets, batch(), draw(purpose).within("common"))}
    return made.loss(phase, nets, whole, draw(purpose).within(phase))


def fakes(nets: dict[str, nn.Module]) -> Tensor:
    return nets["generator"](draw().within("common").normal("z", 5), LABEL)


def test_the_discriminator_s_loss_is_the_paper_s_with_half_gamma_r1() -> None:
    made = recipe(r1=0.5)
    nets = networks(made)
    with torch.no_grad():
        for weight in nets["discriminator"].parameters():
            weight.mul_(16)  # fresh weights are small, and so is their slope
    found = loss(made, "discriminator", nets)
    real = batch()["image"].requires_grad_()
    with torch.no_grad():
        fake = fakes(nets)
    real_logits, fake_logits = nets["discriminator"](real, LABEL), nets["discriminator"](fake, LABEL)
    (slope,) = torch.autograd.grad(real_logits.sum(), real)
    want = softplus(-real_logits) + softplus(fake_logits) + 0.25 * slope.square().sum((1, 2, 3))
    assert found.per_example.shape == (N,)
    torch.testing.assert_close(found.per_example, want)
    assert (found.per_example > 1.1 * found.scalars["loss/discriminator"]).all()
    assert found.scalars.keys() \
        == {"loss/discriminator", "logits/real", "logits/fake", "accuracy/discriminator", "penalty/r1"}
    torch.testing.assert_close(found.scalars["penalty/r1"].detach(), slope.square().sum((1, 2, 3)))


def test_the_generator_s_loss_is_the_non_saturating_one() -> None:
    made = recipe()
    nets = networks(made)
    found = loss(made, "generator", nets)
    want = softplus(-nets["discriminator"](fakes(nets), LABEL))
    torch.testing.assert_close(found.per_example, want)
    assert found.scalars.keys() == {"loss/generator"}


def test_no_gamma_no_penalty() -> None:
    made = recipe(r1=None)
    found = loss(made, "discriminator", networks(made))
    assert "penalty/r1" not in found.scalars
    torch.testing.assert_close(found.per_example, found.scalars["loss/discriminator"])


def test_the_discriminator_s_phase_gives_the_generator_no_gradient_and_its_own_a_second_order_one() -> None:
    made = recipe(r1=1e6)
    nets = networks(made)
    loss(made, "discriminator", nets).per_example.mean().backward()
    assert all(weight.grad is None for weight in nets["generator"].parameters())
    gradients = {name: weight.grad for name, weight in nets["discriminator"].named_parameters()}
    plain = recipe(r1=None)
    for network in nets.values():
        network.zero_grad()
    loss(plain, "discriminator", nets).per_example.mean().backward()
    moved = {name for name, weight in nets["discriminator"].named_parameters()
             if not torch.equal(weight.grad, gradients[name])}
    assert moved >= {"from_image.weight", "downs.0.weight", "judge.linear.weight", "judge.embed.weight"}


def test_without_a_penalty_one_forward_judges_both_as_two_would() -> None:
    made = recipe(r1=None)
    nets = networks(made)
    found = loss(made, "discriminator", nets)
    with torch.no_grad():
        fake = fakes(nets)
    real_logits, fake_logits = nets["discriminator"](batch()["image"], LABEL), nets["discriminator"](fake, LABEL)
    torch.testing.assert_close(found.per_example, softplus(-real_logits) + softplus(fake_logits))


def test_a_lazy_penalty_is_a_phase_of_its_own_that_weighs_as_much_more_as_it_is_rarer() -> None:
    eager, lazy = recipe(r1=0.5), recipe(r1=0.5, every=4)
    nets = networks(lazy)
    assert "penalty/r1" not in loss(lazy, "discriminator", nets).scalars
    found = loss(lazy, "r1", nets)
    torch.testing.assert_close(found.scalars["penalty/r1"], loss(eager, "discriminator", nets).scalars["penalty/r1"])
    torch.testing.assert_close(found.per_example, 4 * 0.25 * found.scalars["penalty/r1"])
    found.per_example.sum().backward()
    assert all(weight.grad is not None for weight in nets["discriminator"].parameters())
    (phase,) = [phase for phase in lazy.phases() if phase.name == "r1"]
    assert (phase.every, phase.shares) == (4, "discriminator")
    assert [phase.name for phase in recipe(r1=None, every=4).phases()] == ["discriminator", "generator"]


def test_accuracy_is_the_share_of_logits_with_the_right_sign() -> None:
    found = judgement(torch.tensor([1.0, -1.0, 2.0, 0.5]), torch.tensor([-3.0, 1.0, -2.0, -1.0]))
    assert found["accuracy/discriminator"].mean() == 6 / 8


def test_logits_of_real_examples_are_the_discriminator_s() -> None:
    made = recipe()
    nets = networks(made)
    found = made.logits(nets, batch())
    assert torch.equal(found["discriminator"], nets["discriminator"](batch()["image"], LABEL))


def test_networks_are_called_and_nothing_of_theirs_is_read() -> None:
    """Under DDP they are wrapped."""
    made = recipe()
    nets = networks(made)
    calls: dict[str, Callable[..., Tensor]] = {
        name: lambda *args, n=network, **named: n(*args, **named) for name, network in nets.items()
    }
    for phase in made.phases():
        by_call, by_net = (loss(made, phase.name, given).per_example for given in (calls, nets))
        assert torch.equal(by_call, by_net)


def test_the_loss_depends_on_the_draw_and_on_nothing_else_random() -> None:
    made = recipe()
    nets = networks(made)
    for phase in made.phases():
        torch.manual_seed(1)
        first = loss(made, phase.name, nets).per_example
        torch.manual_seed(2)
        assert torch.equal(loss(made, phase.name, nets).per_example, first)
        assert not torch.equal(loss(made, phase.name, nets, "other").per_example, first)


@pytest.mark.parametrize("classes", [0, CLASSES])
def test_the_published_network_takes_the_weights_and_gives_what_sampling_gives(classes: int) -> None:
    made = recipe(classes, conditional=bool(classes))
    nets = {name: network.eval() for name, network in networks(made).items()}
    inputs = made.inputs(draw(), LABEL if classes else None)
    (name,), spec = made.published()
    built = spec.build().eval()
    built.load_state_dict(nets[name].state_dict())
    assert inputs.keys() == spec.inputs.keys()
    assert {key: value.shape[1:] for key, value in inputs.items()} == {k: s.shape for k, s in spec.inputs.items()}
    assert torch.equal(built(**inputs), made.generate(nets, inputs))
    assert made.generate(nets, inputs).shape == (N, *spec.output)


def test_the_average_is_of_the_network_that_is_published() -> None:
    made = recipe()
    assert {*made.published()[0]} == {*made.averaged}
    assert {*made.averaged} <= made.networks().keys()
    assert {name for phase in made.phases() for name in phase.networks} == made.networks().keys()


def test_labels_are_left_out_when_not_asked_for() -> None:
    made = recipe(conditional=False)
    assert loss(made, "generator", networks(made)).per_example.shape == (N,)
    assert made.inputs(draw(), None).keys() == {"z"}


def test_labels_that_are_asked_for_and_not_there_are_a_mistake_in_the_config() -> None:
    with pytest.raises(ConfigError, match=r"the data has no labels; model\.conditional=false works"):
        recipe(classes=0)


def test_a_config_names_its_recipe(experiment: Callable[..., Experiment]) -> None:
    made = build_recipe(experiment(), DataSpec(SHAPE, CLASSES))
    assert isinstance(made, ImageGan)
    assert made.options.width == 8


@pytest.mark.parametrize("kind", ["audio", "tokens", "video"])
def test_data_that_is_no_images_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"dcgan makes images, and this data set holds {kind}"):
        ImageGan(Dcgan(), DataSpec((1, 1, 8000), 10, kind))
