from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from gan_core.losses.adversarial import (
    OBJECTIVES,
    hinge_d,
    non_saturating_d,
    non_saturating_g,
    wasserstein_d,
)
from gan_core.options.losses import Objective

REAL = torch.tensor([1.3, 2.9, 8.4, 6.3], dtype=torch.float64)
FAKE = torch.tensor([4.8, 1.2, -3.5, 5.9], dtype=torch.float64)
TARGETED = [name for name, objective in OBJECTIVES.items() if objective.takes_targets]
every = pytest.mark.parametrize("name", OBJECTIVES)


def of_generator(name: str, fake: Tensor = FAKE, real: Tensor = REAL) -> Tensor:
    return OBJECTIVES[name].generator(fake, real if OBJECTIVES[name].paired else None)


@pytest.mark.parametrize(("name", "discriminator", "generator"), [
    ("minimax", 3.1251488, -3.0509911),
    ("non_saturating", 3.1251488, 0.9509911),
    ("least_squares", 19.76125, 7.3425007),
    ("wasserstein", -2.625, -2.1),
    ("hinge", (5.8 + 2.2 + 0 + 6.9) / 4, -2.1),
])
def test_values_known_elsewhere(name: str, discriminator: float, generator: float) -> None:
    assert OBJECTIVES[name].discriminator(REAL, FAKE).mean().item() == pytest.approx(discriminator, abs=1e-6)
    assert of_generator(name).mean().item() == pytest.approx(generator, abs=1e-6)


def test_relativistic_pairing_is_the_cross_entropy_of_each_pair_s_difference() -> None:
    ones = torch.ones_like(REAL)
    found = OBJECTIVES["relativistic"]
    want = binary_cross_entropy_with_logits(REAL - FAKE, ones, reduction="none")
    torch.testing.assert_close(found.discriminator(REAL, FAKE), want)
    want = binary_cross_entropy_with_logits(FAKE - REAL, ones, reduction="none")
    torch.testing.assert_close(found.generator(FAKE, REAL), want)


def test_the_objectives_are_those_of_the_options() -> None:
    assert {*OBJECTIVES} == {*get_args(Objective)}


@every
def test_one_value_an_example_from_that_example_alone(name: str) -> None:
    together = OBJECTIVES[name].discriminator(REAL, FAKE)
    assert together.shape == (4,)
    alone = [OBJECTIVES[name].discriminator(real, fake) for real, fake in zip(REAL, FAKE, strict=True)]
    assert torch.equal(torch.stack(alone), together)
    alone = [of_generator(name, fake, real) for fake, real in zip(FAKE, REAL, strict=True)]
    assert torch.equal(torch.stack(alone), of_generator(name))


@every
def test_undecided_discriminators_raise_real_logits_and_lower_generated_ones_and_generators_the_reverse(
    name: str,
) -> None:
    real, fake = (torch.full((3,), 0.5, requires_grad=True) for _ in range(2))
    by_real, by_fake = torch.autograd.grad(OBJECTIVES[name].discriminator(real, fake).sum(), (real, fake))
    assert (by_real < 0).all()
    assert (by_fake > 0).all()
    (by_fake,) = torch.autograd.grad(of_generator(name, fake, real).sum(), fake)
    assert (by_fake < 0).all()


def test_they_are_the_logarithms_of_the_paper() -> None:
    def sigma(logit: Tensor) -> Tensor:
        return 1 / (1 + torch.exp(-logit))

    torch.testing.assert_close(non_saturating_d(REAL, FAKE), -sigma(REAL).log() - (1 - sigma(FAKE)).log())
    torch.testing.assert_close(non_saturating_g(FAKE), -sigma(FAKE).log())
    torch.testing.assert_close(of_generator("minimax"), (1 - sigma(FAKE)).log())


def test_a_discriminator_that_cannot_tell_loses_two_bits_and_the_generator_one() -> None:
    undecided = torch.zeros(3, dtype=torch.float64)
    bit = torch.full((3,), 2.0, dtype=torch.float64).log()
    torch.testing.assert_close(non_saturating_d(undecided, undecided), 2 * bit)
    torch.testing.assert_close(non_saturating_g(undecided), bit)


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
def test_losses_of_extreme_logits_are_finite(name: str) -> None:
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = OBJECTIVES[name].discriminator(far, far.flip(0), 0.9, 0.1)
    (gradient,) = torch.autograd.grad(loss.sum(), far)
    assert loss.isfinite().all()
    assert gradient.isfinite().all()


def test_the_saturating_generator_rests_when_it_is_seen_through_and_the_other_when_it_fools() -> None:
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    assert torch.autograd.grad(non_saturating_g(far).sum(), far)[0].tolist() == [-1, 0]
    assert torch.autograd.grad(of_generator("minimax", far).sum(), far)[0].tolist() == [0, -1]


def test_a_hinge_discriminator_rests_beyond_its_margins() -> None:
    logits = torch.tensor([1.5, -1.5, 0.5], requires_grad=True)
    (gradient,) = torch.autograd.grad(hinge_d(logits, -logits).sum(), logits)
    assert gradient.tolist() == [0, -2, -2]


@pytest.mark.parametrize("name", ["minimax", "non_saturating"])
@pytest.mark.parametrize(("real_target", "fake_target"), [(0.9, 0.0), (0.8, 0.2), (0.0, 1.0)])
def test_softened_and_flipped_labels_are_targets_of_the_cross_entropy(
    name: str, real_target: float, fake_target: float
) -> None:
    want = binary_cross_entropy_with_logits(REAL, torch.full_like(REAL, real_target), reduction="none") \
        + binary_cross_entropy_with_logits(FAKE, torch.full_like(FAKE, fake_target), reduction="none")
    torch.testing.assert_close(OBJECTIVES[name].discriminator(REAL, FAKE, real_target, fake_target), want)


@pytest.mark.parametrize("name", TARGETED)
def test_each_example_may_have_a_target_of_its_own(name: str) -> None:
    real_target, fake_target = torch.tensor([0.9, 0.1, 1, 0.9]).double(), torch.tensor([0, 1, 0.2, 0]).double()
    together = OBJECTIVES[name].discriminator(REAL, FAKE, real_target, fake_target)
    alone = [OBJECTIVES[name].discriminator(REAL[i], FAKE[i], real_target[i].item(), fake_target[i].item())
             for i in range(4)]
    torch.testing.assert_close(together, torch.stack(alone))


def test_least_squares_go_to_their_targets() -> None:
    found = OBJECTIVES["least_squares"].discriminator(torch.tensor([0.9]), torch.tensor([0.1]), 0.9, 0.1)
    assert found.tolist() == [0]
    found = OBJECTIVES["least_squares"].discriminator(torch.tensor([1.0]), torch.tensor([0.0]), 0.0, 1.0)
    assert found.tolist() == [1]


@pytest.mark.parametrize("name", sorted({*OBJECTIVES} - {*TARGETED}))
def test_an_objective_without_targets_refuses_them(name: str) -> None:
    with pytest.raises(ValueError, match=r"targets \(0\.9, 0\.0\).*least_squares"):
        OBJECTIVES[name].discriminator(REAL, FAKE, 0.9, 0.0)
    with pytest.raises(ValueError, match="work with minimax"):
        OBJECTIVES[name].discriminator(REAL, FAKE, torch.ones_like(REAL), 0.0)
    assert torch.equal(OBJECTIVES[name].discriminator(REAL, FAKE, 1.0, 0.0),
                       OBJECTIVES[name].discriminator(REAL, FAKE))


def test_a_paired_generator_needs_the_real_logits() -> None:
    assert [name for name, objective in OBJECTIVES.items() if objective.paired] == ["relativistic"]
    with pytest.raises(ValueError, match="compares generated examples with real ones"):
        OBJECTIVES["relativistic"].generator(FAKE)


@every
def test_the_margin_says_what_the_discriminator_takes_a_real_example_for(name: str) -> None:
    """Where it is 0, neither answer is nearer: what the discriminator would lose by either is the same."""
    discriminator, margin = OBJECTIVES[name].discriminator, OBJECTIVES[name].margin
    undecided = torch.tensor([0.5 if name == "least_squares" else 0.0])
    assert margin(undecided, undecided).tolist() == [0]
    surer, doubtful = undecided + 0.3, undecided - 0.3
    assert margin(surer, doubtful) > 0
    assert margin(doubtful, surer) < 0
    assert discriminator(surer, undecided) < discriminator(doubtful, undecided)
    swapped = discriminator(undecided, undecided + 0.3), discriminator(undecided - 0.3, undecided)
    torch.testing.assert_close(*swapped)


def test_a_critic_s_margin_does_not_depend_on_where_its_zero_is() -> None:
    for name in ("wasserstein", "relativistic"):
        torch.testing.assert_close(OBJECTIVES[name].margin(REAL + 7, FAKE + 7), OBJECTIVES[name].margin(REAL, FAKE))
    torch.testing.assert_close(wasserstein_d(REAL + 7, FAKE + 7), wasserstein_d(REAL, FAKE))
