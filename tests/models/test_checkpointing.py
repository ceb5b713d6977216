from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from itertools import count

import pytest
import torch
from torch import Tensor, nn

from gan_core.models.checkpointing import again
from gan_core.models.dropout import Dropout, dropout_from
from gan_core.models.norm import BatchNorm, each_by_itself
from gan_core.models.spectral import spectral
from tests.models.family_contract import numbers_kept

ROWS = 6
Run = Callable[..., Tensor]


class Counted(nn.Module):
    """How often a network was run."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return x


def network(dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(Counted(), nn.Conv2d(2, 4, 3), BatchNorm(4), nn.ELU(), Dropout(dropout), nn.Conv2d(4, 3, 3),
                         BatchNorm(3), nn.Flatten(), nn.Linear(12, 1)).double()
    spectral(made)
    return made.train()


def images() -> Tensor:
    return torch.randn(ROWS, 2, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def plainly(function: Callable[..., Tensor], x: Tensor) -> Tensor:
    return function(x)


def facts(run: Run, stretches: int = 1, dropout: float = 0.0, penalised: bool = False) -> dict[str, Tensor]:
    """Output, gradients and running statistics of a step; the backward pass is outside the blocks of the forward."""
    made, x = network(dropout), images().requires_grad_()
    seeds = count()
    with ExitStack() as blocks:
        blocks.enter_context(each_by_itself(stretches))
        blocks.enter_context(
            dropout_from(lambda: torch.Generator().manual_seed(next(seeds)), slice(0, ROWS), ROWS))
        out = run(made, x)
    loss = out.square().sum()
    if penalised:
        (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)
        loss = loss + slope.square().sum()
    loss.backward()
    gradients = {name: weight.grad for name, weight in made.named_parameters()}
    return {"output": out.detach(), "x": x.grad, **gradients, **dict(made.named_buffers())}


@pytest.mark.parametrize("options", [
    {}, {"stretches": 2}, {"dropout": 0.4}, {"penalised": True},
    {"stretches": 2, "dropout": 0.4, "penalised": True},
], ids=["plain", "kinds apart", "dropout", "gradient penalty", "all"])
def test_a_step_is_what_it_is_without(options: dict[str, float]) -> None:
    found, want = facts(again, **options), facts(plainly, **options)
    assert found.keys() == want.keys()
    for name, tensor in want.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-10, atol=1e-12, msg=name)


def test_each_option_changes_the_step_so_that_equality_means_something() -> None:
    plain = facts(again)
    for options in ({"stretches": 2}, {"dropout": 0.4}, {"penalised": True}):
        assert not torch.allclose(facts(again, **options)["x"], plain["x"]), options


def test_it_is_computed_again_where_gradients_are_wanted_and_only_there() -> None:
    made = network()
    again(made, images().requires_grad_()).sum().backward()
    assert made[0].runs == 2
    with torch.no_grad():
        again(made, images())
    assert made[0].runs == 3


def test_running_statistics_move_once() -> None:
    made, x = network(), images().requires_grad_()
    out = again(made, x)
    moved = {name: buffer.clone() for name, buffer in made.named_buffers()}
    assert moved["2.num_batches_tracked"] == 1
    (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert made[0].runs == 3
    assert all(torch.equal(buffer, moved[name]) for name, buffer in made.named_buffers())
    made(x)
    assert made[2].num_batches_tracked == 2


def test_activations_inside_are_not_kept() -> None:
    made = nn.Sequential(*[nn.Sequential(nn.Linear(50, 50), nn.Tanh()) for _ in range(8)])
    x = torch.randn(40, 50, requires_grad=True)
    assert numbers_kept(lambda: again(made, x)) < numbers_kept(lambda: made(x)) / 8
