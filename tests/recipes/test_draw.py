from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gan_core.data.sampler import share
from gan_core.recipes.draw import Draw

BATCH = 12
DRAWS: list[Callable[[Draw], Tensor]] = [
    lambda draw: draw.normal("z", 3), lambda draw: draw.uniform("z", 3), lambda draw: draw.integers("z", 1000),
    lambda draw: draw.integers("z", 1000, 2),
]
every = pytest.mark.parametrize("take", DRAWS, ids=["normal", "uniform", "integers", "pairs of integers"])


def draw(seed: int = 1, position: int = 64, rank: int = 0, world: int = 1) -> Draw:
    return Draw(seed, position, BATCH, share(BATCH, rank, world), torch.device("cpu"))


@every
def test_the_same_seed_position_and_purpose_give_the_same_numbers(take: Callable[[Draw], Tensor]) -> None:
    assert torch.equal(take(draw()), take(draw()))
    assert torch.equal(take(draw().within("generator")), take(draw().within("generator")))


@every
def test_another_seed_position_or_purpose_gives_others(take: Callable[[Draw], Tensor]) -> None:
    usual = draw()
    others = [usual, draw(seed=2), draw(position=76), draw(seed=16, position=4), draw(seed=1, position=6),
              usual.within("a"), usual.within("b"), usual.within("a").within("b")]
    assert len({take(other).numpy().tobytes() for other in others}) == len(others)


def test_another_name_gives_others() -> None:
    assert not torch.equal(draw().normal("z", 3), draw().normal("w", 3))
    assert not torch.equal(draw().integers("z", 1000), draw().integers("w", 1000))


def test_draws_for_two_purposes_are_not_correlated() -> None:
    wide = Draw(0, 0, 10_000, slice(0, 10_000), torch.device("cpu"))
    columns = torch.stack([wide.normal("a"), wide.normal("b"), wide.within("x").normal("a")])
    off_diagonal = torch.corrcoef(columns) - torch.eye(3)
    assert off_diagonal.abs().max() < 0.05  # five standard errors of 10,000 rows


@every
@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_workers_rows_put_together_are_one_worker_s(take: Callable[[Draw], Tensor], world: int) -> None:
    parts = [draw(rank=rank, world=world) for rank in range(world)]
    assert torch.equal(torch.cat([take(part) for part in parts]), take(draw()))
    assert [len(take(part)) for part in parts] == [part.count for part in parts]
    inner = [take(part.within("generator")) for part in parts]
    assert torch.equal(torch.cat(inner), take(draw().within("generator")))


@every
@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_parts_of_a_worker_s_rows_put_together_are_its_rows(take: Callable[[Draw], Tensor], parts: int) -> None:
    for worker in (draw(), draw(rank=1, world=2)):
        found = [take(worker.part(number, parts)) for number in range(parts)]
        assert torch.equal(torch.cat(found), take(worker))
        assert max(map(len, found)) - min(map(len, found)) <= 1


@every
def test_torch_s_own_random_numbers_are_neither_used_nor_moved(take: Callable[[Draw], Tensor]) -> None:
    torch.manual_seed(5)
    before, state = take(draw()), torch.get_rng_state()
    torch.manual_seed(6)
    assert torch.equal(take(draw()), before)
    torch.manual_seed(5)
    take(draw())
    assert torch.equal(torch.get_rng_state(), state)


def test_numbers_have_their_distribution() -> None:
    wide = Draw(0, 0, 10_000, slice(0, 10_000), torch.device("cpu"))
    normal, integers, uniform = wide.normal("z", 2), wide.integers("z", 4), wide.uniform("z", 2)
    assert (uniform.shape, uniform.dtype) == ((10_000, 2), torch.float32)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert torch.histc(uniform, 4, 0, 1).sub(5000).abs().max() < 350
    assert (normal.shape, normal.dtype) == ((10_000, 2), torch.float32)
    assert normal.mean().abs() < 0.05
    assert (normal.std() - 1).abs() < 0.05
    assert integers.dtype == torch.int64
    assert torch.bincount(integers).sub(2500).abs().max() < 250
    assert len(torch.bincount(integers)) == 4
