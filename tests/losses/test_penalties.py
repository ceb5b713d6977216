from __future__ import annotations

import torch
from torch import Tensor

from gan_core.losses.penalties import zero_centred


def rows(n: int = 5, seed: int = 0) -> Tensor:
    drawn = torch.randn(n, 2, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.requires_grad_()


def kernel(seed: int = 1) -> Tensor:
    drawn = torch.randn(18, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.requires_grad_()


def curved(x: Tensor, w: Tensor) -> Tensor:
    """A discriminator without norm: each logit is of its own row alone."""
    return (x.flatten(1) * w).tanh().sum(1) + (x.flatten(1) @ w).square()


def test_penalty_of_a_linear_critic_is_its_squared_weight_norm() -> None:
    x, w = rows(), kernel()
    penalty = zero_centred(x, x.flatten(1) @ w)
    torch.testing.assert_close(penalty, w.square().sum().expand(5))
    (gradient,) = torch.autograd.grad(penalty.mean(), w)
    torch.testing.assert_close(gradient, 2 * w)


def test_penalty_of_a_constant_critic_is_nothing() -> None:
    x = rows()
    assert not zero_centred(x, 0 * x.flatten(1).sum(1) + 7).any()


def test_penalty_is_the_squared_slope_that_finite_differences_find() -> None:
    x, w, h = rows(), kernel(), 1e-6
    slopes = []
    for i in range(18):
        step = torch.zeros(18, dtype=torch.float64)
        step[i] = h
        step = step.view(2, 3, 3)
        slopes.append((curved(x + step, w) - curved(x - step, w)) / (2 * h))
    torch.testing.assert_close(zero_centred(x, curved(x, w)), torch.stack(slopes).square().sum(0), rtol=1e-7, atol=1e-8)


def test_its_gradient_for_the_weights_is_that_of_finite_differences() -> None:
    x = rows(2)
    assert torch.autograd.gradcheck(lambda w: zero_centred(x, curved(x, w)), (kernel(),))


def test_each_penalty_is_of_its_own_sample() -> None:
    w = kernel()
    x = rows()
    together = zero_centred(x, curved(x, w))
    for i in range(5):
        alone = x[i : i + 1].detach().requires_grad_()
        torch.testing.assert_close(zero_centred(alone, curved(alone, w)), together[i : i + 1])
