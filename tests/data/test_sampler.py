from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gan_core.data.sampler import indices, share

SIZE = 10


def order(position: int, count: int, seed: int = 0, size: int = SIZE) -> NDArray[np.int64]:
    return indices(size, seed=seed, position=position, count=count)


@pytest.mark.parametrize("position", [0, 1, 9, 10, 11, 25, 39])
@pytest.mark.parametrize("count", [1, 3, 10, 11, 21])
def test_any_slice_is_that_slice_of_the_whole(position: int, count: int) -> None:
    whole = order(0, 60)
    assert order(position, count).tolist() == whole[position : position + count].tolist()


def test_each_epoch_is_a_permutation_of_its_own() -> None:
    epochs = order(0, 50 * SIZE).reshape(50, SIZE)
    assert (np.sort(epochs) == np.arange(SIZE)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 50


def test_another_seed_is_another_order() -> None:
    assert len({tuple(order(0, 100, seed=seed, size=100)) for seed in (0, 1, 2, 2**63 - 1)}) == 4


def test_the_order_is_known() -> None:
    """A change of the order would silently change what every resumed run sees."""
    assert order(0, 12, seed=3).tolist() == [6, 8, 4, 1, 3, 5, 9, 7, 0, 2, 2, 4]


def test_the_order_cannot_be_changed_from_outside() -> None:
    first = order(0, SIZE)
    kept = first.tolist()
    first[:] = 0
    assert order(0, SIZE).tolist() == kept


def test_one_example_is_seen_again_and_again() -> None:
    assert order(0, 5, size=1).tolist() == [0] * 5


def test_an_epoch_far_away_costs_no_more() -> None:
    assert sorted(order(10**15, SIZE)) == [*range(SIZE)]


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("batch", [4, 12, 13, 64])
def test_shares_of_a_batch_partition_it_as_evenly_as_it_goes(batch: int, world: int) -> None:
    rows = [[*range(batch)][share(batch, rank, world)] for rank in range(world)]
    assert [row for part in rows for row in part] == [*range(batch)]
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_workers_rows_put_together_are_one_worker_s_order(world: int) -> None:
    batch = 12
    steps = range(0, 60, batch)
    dealt = [order(position, batch)[share(batch, rank, world)] for position in steps for rank in range(world)]
    assert np.concatenate(dealt).tolist() == order(0, 60).tolist()
