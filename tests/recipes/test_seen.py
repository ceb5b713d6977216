"""Images as a discriminator sees them: with noise that falls to none, and augmented."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_core.recipes.ada import EVERY, AdaAugment
from gan_core.recipes.diffaugment import diffaugment
from gan_core.recipes.image_gan import ImageGan
from tests.recipes.games import N, Watched, batch, draw, drawn, fakes, loss, networks, unpenalised

ADA = {"method": "ada", "start": 0.5, "transforms": ["blit", "color"], "images": 1_000}


def images_shown(made: ImageGan, phase: str, position: int = 128) -> tuple[Tensor, ...]:
    """Real and generated images that the discriminator saw; in the generator's phase the latter alone."""
    nets: dict[str, Any] = {**networks(made)}
    judge = nets["discriminator"] = Watched(nets["discriminator"])
    loss(made, phase, nets, position=position)
    return tuple(judge.images[0][start:start + N] for start in range(0, len(judge.images[0]), N))


@pytest.mark.parametrize(("position", "std"), [(0, 0.8), (500, 0.4), (900, 0.08)])
def test_instance_noise_falls_in_proportion_on_real_and_generated_images_alike(position: int, std: float) -> None:
    noisy, bare = unpenalised(instance_noise={"std": 0.8, "until": 1_000}), unpenalised()
    added = [seen - was for seen, was in zip(images_shown(noisy, "discriminator", position),
                                             images_shown(bare, "discriminator", position), strict=True)]
    real, fake = added
    for noise in (real, fake):
        assert noise.std() == pytest.approx(std, rel=0.15)  # of 384 numbers
        assert abs(noise.mean()) < 5 * std / noise.numel() ** 0.5
    both = torch.corrcoef(torch.stack([real.flatten(), fake.flatten()]))
    assert abs(both[0, 1]) < 0.25


@pytest.mark.parametrize("position", [1_000, 5_000])
@pytest.mark.parametrize("phase", ["discriminator", "generator"])
def test_from_its_end_on_there_is_no_noise(phase: str, position: int) -> None:
    noisy, bare = unpenalised(instance_noise={"std": 0.8, "until": 1_000}), unpenalised()
    for seen, was in zip(images_shown(noisy, phase, position), images_shown(bare, phase, position), strict=True):
        assert torch.equal(seen, was)


def test_the_generator_learns_from_images_with_noise_of_their_own_too() -> None:
    noisy, bare = unpenalised(instance_noise={"std": 0.8, "until": 1_000}), unpenalised()
    (seen,), (was,) = images_shown(noisy, "generator"), images_shown(bare, "generator")
    _, of_d = images_shown(noisy, "discriminator")
    assert (seen - was).std() > 0.5
    assert not torch.equal(seen, of_d)


def test_diffaugment_changes_real_and_generated_images_each_by_its_own_draw() -> None:
    made = unpenalised(augment={"policy": ["translation", "cutout"]})
    fake, own = fakes(made, networks(made)), drawn("discriminator")
    real_seen, fake_seen = images_shown(made, "discriminator")
    policy = ("translation", "cutout")
    assert torch.equal(real_seen, diffaugment(batch()["image"], own.within("real"), policy))
    assert torch.equal(fake_seen, diffaugment(fake, own.within("fake"), policy))
    assert not torch.equal(fake_seen, diffaugment(fake, own.within("real"), policy))
    (of_g,) = images_shown(made, "generator")
    assert torch.equal(of_g, diffaugment(fake, drawn("generator").within("fake"), policy))


@pytest.mark.parametrize("augment", [{}, ADA])
def test_the_generator_learns_through_the_augmentation(augment: dict[str, Any]) -> None:
    made = unpenalised(augment=augment)
    nets = networks(made)
    loss(made, "generator", nets).per_example.mean().backward()
    gradients = [weight.grad for weight in nets["generator"].parameters()]
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


def adaptive(**options: Any) -> tuple[ImageGan, dict[str, nn.Module], AdaAugment]:
    made = unpenalised(augment=ADA, **options)
    nets = networks(made)
    augment = nets["augment"]
    assert isinstance(augment, AdaAugment)
    return made, nets, augment


def test_ada_is_a_network_that_no_phase_trains() -> None:
    made, _, augment = adaptive()
    assert not any("augment" in phase.networks for phase in made.phases())
    assert not any(True for _ in augment.parameters())
    assert float(augment.probability) == 0.5
    assert "augment" not in unpenalised(augment={}).networks()


def test_ada_changes_real_and_generated_images_each_by_its_own_draw() -> None:
    made, nets, augment = adaptive()
    fake, own = fakes(made, nets), drawn("discriminator")
    real_seen, fake_seen = images_shown(made, "discriminator")
    assert torch.equal(real_seen, augment(batch()["image"], own.within("real")))
    assert torch.equal(fake_seen, augment(fake, own.within("fake")))
    assert not torch.equal(real_seen, batch()["image"])


class Sure:
    """Says the same of the first images, which are real, and the contrary of all that come after them."""

    def __init__(self, logit: float) -> None:
        self.logit = logit

    def __call__(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        sign = torch.where(torch.arange(len(images)) < N, 1.0, -1.0)
        return images.flatten(1).sum(1) * 0 + self.logit * sign


@pytest.mark.parametrize("sign", [1, -1])
def test_ada_s_probability_follows_the_first_discriminator_alone(sign: int) -> None:
    made, networks_, augment = adaptive(discriminators=2)
    nets: dict[str, Any] = {**networks_, "discriminator": Sure(2.0 * sign), "discriminator_2": Sure(-2.0 * sign)}
    for _ in range(EVERY):
        found = loss(made, "discriminator", nets).scalars
        assert float(found["augment/p"]) == 0.5
        made.after_step("discriminator", networks_)
    assert float(augment.r_t) == sign
    assert float(augment.probability) == pytest.approx(0.5 + sign * EVERY * N / 1_000)
    assert float(loss(made, "discriminator", nets).scalars["augment/p"]) == float(augment.probability)


@pytest.mark.parametrize("phase", ["r1", "generator"])
def test_ada_s_probability_moves_after_steps_of_the_discriminator_alone(phase: str) -> None:
    made, nets, augment = adaptive(penalties={"r1": {"every": 2}})
    for _ in range(EVERY):
        loss(made, "discriminator", nets)
        loss(made, phase, nets)
        made.after_step(phase, nets)
    assert (int(augment.steps), float(augment.probability)) == (0, 0.5)


def test_a_phase_that_is_no_discriminator_s_step_is_not_counted() -> None:
    made, nets, augment = adaptive(penalties={"r1": {"every": 2}})
    for phase in ("generator", "r1"):
        loss(made, phase, {**nets, "discriminator": Sure(1.0)} if phase == "generator" else nets)
        made.after_step("discriminator", nets)
    assert not augment.sums.any()


def test_the_noise_is_a_function_of_the_draw() -> None:
    made = unpenalised(instance_noise={"std": 0.8, "until": 1_000}, augment=ADA)
    assert all(map(torch.equal, images_shown(made, "discriminator"), images_shown(made, "discriminator")))
    assert draw("a") != draw("b")
