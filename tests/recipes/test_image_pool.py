"""The pool of earlier images: what is returned, what is kept, and that workers and parts do not show in either."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from gan_core.data.sampler import share
from gan_core.recipes.draw import Draw
from gan_core.recipes.image_pool import ImagePool
from tests.workers import run_workers

SHAPE = (1, 2, 2)
CPU = torch.device("cpu")
BATCH, SIZE, STEPS = 7, 10, 12  # which neither two workers nor two parts share evenly


def numbered(position: int, count: int) -> Tensor:
    """Images that tell their place in the run: each is full of it."""
    return torch.arange(position, position + count, dtype=torch.float32)[:, None, None, None].expand(-1, *SHAPE) + 1


def drawn(position: int, batch: int, rows: slice | None = None) -> Draw:
    return Draw(3, position, batch, rows or slice(0, batch), CPU, "pool")


def steps(pool: ImagePool, count: int, batch: int) -> list[Tensor]:
    """What each of so many steps returned: [batch] numbers of images."""
    return [pool(numbered(i * batch, batch), drawn(i * batch, batch))[:, 0, 0, 0] for i in range(count)]


def test_every_image_is_returned_or_kept_and_none_more_often_than_once_but_the_copies_of_the_beginning() -> None:
    pool = ImagePool(SIZE, SHAPE)
    times = Counter(torch.cat(steps(pool, 60, 5)).tolist())
    kept = pool.images[:, 0, 0, 0].tolist()
    assert {*times} | {*kept} == {float(number) for number in range(1, 301)}
    again = [number for number, count in times.items() if count > 1 or number in kept]
    assert len(again) == SIZE
    assert max(again) < 60  # of the steps in which the pool was filled


def test_an_empty_place_keeps_a_copy_and_returns_the_image() -> None:
    pool = ImagePool(20, SHAPE)
    fresh = numbered(0, 8)
    assert torch.equal(pool(fresh, drawn(0, 8)), fresh)
    assert int(pool.filled.sum()) == 8
    assert sorted(pool.images[pool.filled][:, 0, 0, 0].tolist()) == list(range(1, 9))
    assert not pool.images[~pool.filled].any()


def test_of_a_full_pool_every_second_image_is_an_earlier_one() -> None:
    pool = ImagePool(50, SHAPE)
    returned = steps(pool, 400, 4)
    earlier = [float((numbers <= 4 * i).float().mean()) for i, numbers in enumerate(returned)][100:]
    assert bool(pool.filled.all())
    assert sum(earlier) / len(earlier) == pytest.approx(0.5, abs=0.05)
    ages = torch.cat([4 * i + 4 - numbers for i, numbers in enumerate(returned)][100:])
    assert ages[ages > 4].mean() == pytest.approx(2 * 50, rel=0.2)  # 50 places, of which each step changes 2 on average


def test_of_a_batch_that_is_larger_than_the_pool_some_take_no_part() -> None:
    pool = ImagePool(3, SHAPE)
    first = pool(numbered(0, 12), drawn(0, 12))
    assert torch.equal(first, numbered(0, 12))
    assert bool(pool.filled.all())
    second = pool(numbered(12, 12), drawn(12, 12))[:, 0, 0, 0]
    assert 0 < int((second <= 12).sum()) <= 3


def test_it_is_a_function_of_the_draw_and_what_it_holds() -> None:
    whole, resumed = ImagePool(SIZE, SHAPE), ImagePool(SIZE, SHAPE)
    returned = steps(whole, 8, 5)
    half = ImagePool(SIZE, SHAPE)
    steps(half, 4, 5)
    resumed.load_state_dict(half.state_dict())
    torch.manual_seed(5)
    later = [resumed(numbered(i * 5, 5), drawn(i * 5, 5))[:, 0, 0, 0] for i in range(4, 8)]
    assert all(map(torch.equal, later, returned[4:]))
    assert torch.equal(resumed.images, whole.images)


def test_nothing_flows_back_through_it() -> None:
    fresh = numbered(0, 4).clone().requires_grad_()
    assert not ImagePool(SIZE, SHAPE)(fresh * 2, drawn(0, 4)).requires_grad


def in_parts(pool: ImagePool, rank: int, world: int, parts: int) -> list[Tensor]:
    """This worker's rows of what each step returned, a step taken in so many parts."""
    returned = []
    for position in range(0, STEPS * BATCH, BATCH):
        draw = drawn(position, BATCH, share(BATCH, rank, world))
        ours = numbered(position, BATCH)[draw.rows]
        cuts = [share(draw.count, number, parts) for number in range(parts)]
        returned.append(torch.cat([pool(ours[cut], draw.part(number, parts)) for number, cut in enumerate(cuts)]))
    return returned


def test_a_batch_in_parts_is_exchanged_as_the_whole() -> None:
    whole, parted = ImagePool(SIZE, SHAPE), ImagePool(SIZE, SHAPE)
    assert all(map(torch.equal, in_parts(parted, 0, 1, parts=2), in_parts(whole, 0, 1, parts=1)))
    assert torch.equal(parted.images, whole.images)
    assert torch.equal(parted.filled, whole.filled)


def work(rank: int, folder: str) -> None:
    """One worker of two, then of three."""
    torch.set_num_threads(1)
    for world in (3, 2):
        if rank >= world:
            return
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{world}", rank=rank, world_size=world,
                                timeout=timedelta(seconds=60))
        for parts in (1, 2):
            pool = ImagePool(SIZE, SHAPE)
            returned = in_parts(pool, rank, world, parts)
            torch.save({"returned": returned, "pool": pool.state_dict()}, f"{folder}/{world}-{parts}-{rank}.pt")
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int, int], dict[str, object]]:
    """What a worker of several returned and holds: (world, parts, rank)."""
    folder = tmp_path_factory.mktemp("pool")
    run_workers(work, (str(folder),), 3)
    return lambda *of: torch.load(Path(folder) / f"{'-'.join(map(str, of))}.pt", weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("parts", [1, 2])
def test_workers_return_the_rows_and_hold_the_pool_of_one_bit_for_bit(
    shared: Callable[[int, int, int], dict[str, object]], world: int, parts: int
) -> None:
    alone = ImagePool(SIZE, SHAPE)
    whole = in_parts(alone, 0, 1, parts=1)
    found = [shared(world, parts, rank) for rank in range(world)]
    for worker in found:
        assert torch.equal(worker["pool"]["images"], alone.images)  # type: ignore[index]
        assert torch.equal(worker["pool"]["filled"], alone.filled)  # type: ignore[index]
    for step, wanted in enumerate(whole):
        assert torch.equal(torch.cat([worker["returned"][step] for worker in found]), wanted)  # type: ignore[index]
