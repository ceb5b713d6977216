from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chisquare

from gan_core.data.sampler import Grouped, Natural, Order, Subset, Weighted, indices, share, stream, uniforms

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


# Every order is a function of (seed, position)

COUNTS = (4, 7, 1, 5, 5, 3)  # of the shards
WEIGHTS = np.array([0.0, 1, 2, 0, 3, 0.5, 0])
ORDERS: dict[str, Callable[[int], Order]] = {
    "natural": lambda seed: Natural(SIZE, seed),
    "weighted": lambda seed: Weighted(WEIGHTS, seed=seed),
    "grouped by 1": lambda seed: Grouped(COUNTS, group=1, seed=seed),
    "grouped by 4": lambda seed: Grouped(COUNTS, group=4, seed=seed),
    "grouped by all": lambda seed: Grouped(COUNTS, group=99, seed=seed),
    "a subset": lambda seed: Subset(np.array([3, 1, 8, 9, 30]), Natural(5, seed)),
}
orders = pytest.mark.parametrize("make", ORDERS.values(), ids=ORDERS.keys())


@orders
@pytest.mark.parametrize("position", [0, 1, 2, 3, 5, 24, 25, 26, 49, 77])
def test_any_slice_of_any_order_is_that_slice_of_the_whole(make: Callable[[int], Order], position: int) -> None:
    whole = make(0).at(0, 120)
    for count in (1, 2, 3, 4, 5, 25, 43):
        assert make(0).at(position, count).tolist() == whole[position : position + count].tolist()


@orders
def test_an_order_asked_backwards_gives_the_same(make: Callable[[int], Order]) -> None:
    order = make(0)
    forwards = [order.at(position, 7).tolist() for position in range(0, 105, 7)]
    assert [order.at(position, 7).tolist() for position in range(98, -1, -7)] == forwards[::-1]


@orders
@pytest.mark.parametrize("worlds", [(1, 2), (2, 1), (3, 4), (4, 3), (2, 6)])
def test_a_run_that_goes_on_with_other_workers_sees_the_same_examples(
    make: Callable[[int], Order], worlds: tuple[int, int]
) -> None:
    batch, dealt = 12, []
    for position in range(0, 96, batch):
        world = worlds[position >= 48]
        for rank in range(world):
            rows = share(batch, rank, world)
            dealt += make(3).at(position + rows.start, rows.stop - rows.start).tolist()
    assert dealt == make(3).at(0, 96).tolist()


@orders
def test_another_seed_is_another_order_of_the_same_kind(make: Callable[[int], Order]) -> None:
    assert len({tuple(make(seed).at(0, 50)) for seed in (0, 1, 2, 2**63 - 1)}) == 4


@orders
def test_what_is_done_to_an_answer_does_not_change_the_order(make: Callable[[int], Order]) -> None:
    order = make(0)
    first = order.at(0, 3)
    kept = first.tolist()
    first[:] = 0
    assert order.at(0, 3).tolist() == kept


@orders
def test_a_position_far_away_costs_no_more(make: Callable[[int], Order]) -> None:
    assert len(make(0).at(10**15 + 3, 10)) == 10


def test_every_order_is_known() -> None:
    """As for the natural order: a change would silently change what every resumed run sees."""
    known = {name: make(7).at(5, 8).tolist() for name, make in ORDERS.items()}
    assert known == {
        "natural": [0, 5, 7, 8, 4, 1, 9, 2],
        "weighted": [4, 2, 4, 4, 2, 2, 1, 4],
        "grouped by 1": [11, 10, 4, 7, 6, 9, 5, 8],
        "grouped by 4": [22, 5, 15, 11, 12, 24, 9, 23],
        "grouped by all": [10, 14, 23, 8, 22, 21, 12, 20],
        "a subset": [1, 30, 3, 9, 8, 1, 9, 30],
    }


# Weighted


def test_frequencies_are_the_weights() -> None:
    draws = Weighted(WEIGHTS, seed=0).at(0, 100_000)
    drawn = WEIGHTS > 0
    seen = np.bincount(draws, minlength=len(WEIGHTS))
    assert not seen[~drawn].any()
    assert chisquare(seen[drawn], WEIGHTS[drawn] / WEIGHTS.sum() * len(draws)).pvalue > 0.01


def test_successive_draws_are_independent() -> None:
    draws = Weighted(np.ones(6), seed=1).at(3, 90_001)
    pairs = np.bincount(draws[:-1] * 6 + draws[1:], minlength=36)
    assert chisquare(pairs).pvalue > 0.01


def test_uniforms_are_uniform() -> None:
    drawn = uniforms(0, 1, 100_000)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert chisquare(np.bincount((drawn * 64).astype(int), minlength=64)).pvalue > 0.01


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e308])
def test_only_the_ratios_of_weights_matter(scale: float) -> None:
    assert (Weighted(np.ones(1000) * scale, seed=0).at(0, 500) == Weighted(np.ones(1000), seed=0).at(0, 500)).all()


@pytest.mark.parametrize("weights", [[0, 0, 1.0], [1.0, 0, 0], [0, 1.0, 0]])
def test_one_example_with_weight_is_drawn_alone(weights: list[float]) -> None:
    assert set(Weighted(np.array(weights), seed=0).at(0, 1000)) == {weights.index(1.0)}


def test_the_last_draw_before_one_is_an_example_with_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest number below 1, times a sum, may round to that sum."""
    monkeypatch.setattr("gan_core.data.sampler.uniforms", lambda *_: np.array([1 - 2**-53, 0.0]))
    assert Weighted(np.array([0, 1, 1.0, 1, 0]) * 0.1, seed=0).at(0, 2).tolist() == [3, 1]


# Grouped


@pytest.mark.parametrize("group", [1, 2, 4, 5, 6])
def test_each_epoch_sees_every_example_once(group: int) -> None:
    epochs = Grouped(COUNTS, group=group, seed=0).at(0, 40 * 25).reshape(40, 25)
    assert (np.sort(epochs) == np.arange(25)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 40


@pytest.mark.parametrize("group", [1, 2, 4, 5, 6])
def test_a_group_is_seen_whole_before_the_next_begins(group: int) -> None:
    order = Grouped(COUNTS, group=group, seed=0)
    shard_of = np.repeat(np.arange(len(COUNTS)), COUNTS)
    for epoch in range(3):
        seen = shard_of[order.at(epoch * 25, 25)]
        shards = [sorted(set(seen[seen_from:seen_to])) for seen_from, seen_to in _borders(order, epoch, group)]
        groups = -(-len(COUNTS) // group)
        assert shards == [sorted(order.members(epoch * groups + number)) for number in range(groups)]
        assert sorted(shard for members in shards for shard in members) == [*range(len(COUNTS))]


def _borders(order: Grouped, epoch: int, group: int) -> list[tuple[int, int]]:
    groups = -(-len(COUNTS) // group)
    sizes = [sum(COUNTS[shard] for shard in order.members(epoch * groups + number)) for number in range(groups)]
    ends = np.cumsum(sizes).tolist()
    return list(zip([0, *ends], ends, strict=False))


def test_runs_are_the_order_in_their_groups() -> None:
    order = Grouped(COUNTS, group=2, seed=0)
    starts = np.cumsum([0, *COUNTS[:-1]])
    found = []
    for run in order.runs(3, 60):
        members = order.members(run.group)
        found += np.concatenate([starts[m] + np.arange(COUNTS[m]) for m in members])[run.chosen].tolist()
    assert found == order.at(3, 60).tolist()


def test_examples_within_a_group_are_mixed() -> None:
    """Of two shards in one group, the first half of what is seen is from both about evenly."""
    first = Grouped((500, 500), group=2, seed=0).at(0, 500)
    assert 200 < (first < 500).sum() < 300


def test_streams_of_one_seed_differ() -> None:
    made = {stream(seed, purpose) for seed in range(50) for purpose in ("a", "b", "")}
    assert len(made) == 150
    assert all(0 <= value < 2**63 for value in made)
