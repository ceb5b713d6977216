from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, leaky_relu, linear, softplus

from gan_core.losses.penalties import around, between, consistency, l1, l2, orthogonal, unit_norm, zero_centred

PENALTIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "zero-centred": zero_centred, "unit norm": unit_norm,
    "unit norm, one-sided": lambda x, logits: unit_norm(x, logits, one_sided=True),
}
every = pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)


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


def test_gradient_penalty_of_a_linear_critic_is_how_far_its_weight_norm_is_from_1() -> None:
    x, w = rows(), kernel()
    norm = w.norm()
    assert norm > 1
    torch.testing.assert_close(unit_norm(x, x.flatten(1) @ w), (norm - 1).square().expand(5))
    torch.testing.assert_close(unit_norm(x, x.flatten(1) @ w, one_sided=True), (norm - 1).square().expand(5))
    flat = w / norm / 2
    torch.testing.assert_close(unit_norm(x, x.flatten(1) @ flat), torch.full((5,), 0.25, dtype=torch.float64))
    assert not unit_norm(x, x.flatten(1) @ flat, one_sided=True).any()


@every
def test_a_constant_critic_has_a_penalty_and_finite_gradients(penalty: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Nets of which a last layer begins at 0 are constant at first; the root of 0 has no slope."""
    x, w = rows(), torch.zeros(18, dtype=torch.float64, requires_grad=True)
    found = penalty(x, x.flatten(1) @ w)
    torch.testing.assert_close(found, torch.full_like(found, penalty is unit_norm))
    (gradient,) = torch.autograd.grad(found.sum(), w)
    assert not gradient.any()


def test_penalty_is_the_squared_slope_that_finite_differences_find() -> None:
    x, w, h = rows(), kernel(), 1e-6
    slopes = []
    for i in range(18):
        step = torch.zeros(18, dtype=torch.float64)
        step[i] = h
        step = step.view(2, 3, 3)
        slopes.append((curved(x + step, w) - curved(x - step, w)) / (2 * h))
    torch.testing.assert_close(zero_centred(x, curved(x, w)), torch.stack(slopes).square().sum(0), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("bend", [softplus, lambda x: leaky_relu(x, 0.2)], ids=["softplus", "leaky ReLU"])
@every
def test_gradients_for_the_weights_are_those_of_finite_differences(
    penalty: Callable[[Tensor, Tensor], Tensor], bend: Callable[[Tensor], Tensor]
) -> None:
    """Of a discriminator of two convolutions and a linear layer; its norm is above 1, where one-sided ones cost."""
    x = rows(2)
    generator = torch.Generator().manual_seed(4)
    weights = [torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()
               for shape in [(3, 2, 2, 2), (4, 3, 2, 2), (1, 4)]]

    def cost(first: Tensor, second: Tensor, last: Tensor) -> Tensor:
        logits = linear(bend(conv2d(bend(conv2d(x, first)), second)).flatten(1), last).squeeze(1)
        found = penalty(x, logits)
        assert (found > 0).all()
        return found

    assert torch.autograd.gradcheck(cost, weights)


@every
def test_a_penalty_is_of_its_own_sample_alone(penalty: Callable[[Tensor, Tensor], Tensor]) -> None:
    x, w = rows(), kernel()
    alone = [penalty(one, curved(one, w)) for one in (x[i : i + 1].detach().requires_grad_() for i in range(5))]
    torch.testing.assert_close(torch.cat(alone), penalty(x, curved(x, w)))


def test_between_goes_from_generated_to_real() -> None:
    real, fake = rows(seed=1), rows(seed=2)
    share = torch.tensor([0, 1, 0.25, 0.5, 0.75], dtype=torch.float64)
    found = between(real, fake, share)
    assert torch.equal(found[0], fake[0])
    assert torch.equal(found[1], real[1])
    torch.testing.assert_close(found[2], 0.25 * real[2] + 0.75 * fake[2])


def test_points_around_real_ones_are_as_far_as_the_spread_says() -> None:
    real, std = rows(), torch.tensor(2.0, dtype=torch.float64)
    uniform = torch.rand(real.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert torch.equal(around(real, torch.zeros_like(real), 0.5, std), real)
    torch.testing.assert_close(around(real, uniform, 0.5, std) - real, uniform)
    of_each = torch.arange(5, dtype=torch.float64)
    found = around(real, torch.ones_like(real), 0.5, of_each) - real
    torch.testing.assert_close(found, (of_each / 2).view(5, 1, 1, 1).expand_as(real))


def test_points_to_penalise_are_leaves_so_that_nothing_before_them_is_trained() -> None:
    real, fake, share = rows(seed=1), rows(seed=2), torch.rand(5, dtype=torch.float64)
    for found in (between(real * 2, fake * 2, share), around(real * 2, fake, 0.5, share)):
        assert found.is_leaf
        assert found.requires_grad


def test_consistency_is_the_squared_difference_of_what_is_said() -> None:
    before, after = torch.tensor([1.0, 2.0, -1.0], requires_grad=True), torch.tensor([1.0, 4.0, 2.0])
    assert consistency(before, after).tolist() == [0, 4, 9]
    assert torch.autograd.grad(consistency(before, after).sum(), before)[0].tolist() == [0, -4, -6]


def test_penalties_on_weights_are_their_sums() -> None:
    weights = [torch.tensor([[1.0, -2.0], [3.0, 0.0]]), torch.tensor([-4.0])]
    assert l1(weights) == 10
    assert l2(weights) == 15


def test_rows_that_are_orthogonal_cost_nothing_whatever_their_norms() -> None:
    turned, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    lengths = torch.tensor([0.5, 3, 1, 2], dtype=torch.float64).unsqueeze(1)
    assert orthogonal([turned[:4] * lengths]) < 1e-25
    assert orthogonal([(turned[:, :4] * lengths.T)]) > 0.1  # columns are not asked to be


def test_orthogonality_is_counted_over_each_two_rows_of_each_weight() -> None:
    matrix = torch.tensor([[1.0, 2.0, 0.0], [3.0, 1.0, 0.0], [0.0, 0.0, 5.0]])
    assert orthogonal([matrix]) == 2 * (3 + 2) ** 2
    kernels = matrix.view(3, 3, 1, 1)
    assert orthogonal([kernels, matrix, torch.tensor([7.0, 8.0])]) == 100  # a bias has no rows


@pytest.mark.parametrize("penalty", [l1, l2, orthogonal])
def test_gradients_of_penalties_on_weights_are_those_of_finite_differences(
    penalty: Callable[[list[Tensor]], Tensor]
) -> None:
    weights = [kernel().detach().view(3, 3, 2).requires_grad_(), kernel(2).detach().view(6, 3).requires_grad_()]
    assert torch.autograd.gradcheck(lambda *given: penalty([*given]), weights)
