from __future__ import annotations

import pytest
import torch

from gan_core.losses.adversarial import non_saturating_d, non_saturating_g

REAL = torch.tensor([1.3, 2.9, 8.4, 6.3], dtype=torch.float64)
FAKE = torch.tensor([4.8, 1.2, -3.5, 5.9], dtype=torch.float64)


def test_values_known_elsewhere() -> None:
    assert non_saturating_d(REAL, FAKE).mean().item() == pytest.approx(3.1251488, abs=1e-7)
    assert non_saturating_g(FAKE).mean().item() == pytest.approx(0.9509911, abs=1e-7)


def test_one_value_an_example_from_that_example_alone() -> None:
    together = non_saturating_d(REAL, FAKE)
    assert together.shape == (4,)
    alone = [non_saturating_d(real, fake) for real, fake in zip(REAL, FAKE, strict=True)]
    assert torch.equal(torch.stack(alone), together)
    assert torch.equal(torch.stack([non_saturating_g(fake) for fake in FAKE]), non_saturating_g(FAKE))


def test_they_are_the_logarithms_of_the_paper() -> None:
    def sigma(logit: torch.Tensor) -> torch.Tensor:
        return 1 / (1 + torch.exp(-logit))

    torch.testing.assert_close(non_saturating_d(REAL, FAKE), -sigma(REAL).log() - (1 - sigma(FAKE)).log())
    torch.testing.assert_close(non_saturating_g(FAKE), -sigma(FAKE).log())


def test_a_discriminator_that_cannot_tell_loses_two_bits_and_the_generator_one() -> None:
    undecided = torch.zeros(3, dtype=torch.float64)
    bit = torch.full((3,), 2.0, dtype=torch.float64).log()
    torch.testing.assert_close(non_saturating_d(undecided, undecided), 2 * bit)
    torch.testing.assert_close(non_saturating_g(undecided), bit)


def test_losses_of_extreme_logits_are_finite_and_keep_their_gradients() -> None:
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    assert non_saturating_d(far, far).isfinite().all()
    (gradient,) = torch.autograd.grad(non_saturating_g(far).sum(), far)
    assert gradient.tolist() == [-1, 0]  # a generator that is seen through learns; one that fools rests
