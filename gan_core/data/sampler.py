"""The order of examples: a pure function of (seed, position), the same for any number of workers.

Natural   each epoch is a permutation of the set
Weighted  each position is drawn by weight, with replacement
Grouped   each epoch permutes the shards, and the examples within N shards at a time
Subset    any of them over some examples of a set
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

PHILOX_BLOCK = 4  # 64-bit numbers that one value of Philox's counter gives


class Order(Protocol):
    """Which example stands at each position."""

    def at(self, position: int, count: int) -> NDArray[np.int64]:
        """The examples at global positions position … position + count − 1, as indices [count] into the set."""


def indices(size: int, *, seed: int, position: int, count: int) -> NDArray[np.int64]:
    """The examples at global positions position … position + count − 1, each an index below `size`.

    Each epoch is a fresh permutation of range(size), so a position is the only state that a resume needs.
    """
    taken = []
    while count:
        epoch, start = divmod(position, size)
        part = _permutation(size, seed, epoch)[start : start + count]
        taken.append(part)
        position, count = position + len(part), count - len(part)
    return np.concatenate(taken)


def share(batch: int, rank: int, world: int) -> slice:
    """The rows of each global batch that worker `rank` of `world` reads."""
    return slice(rank * batch // world, (rank + 1) * batch // world)


def stream(seed: int, purpose: str) -> int:
    """A seed of its own, 0 … 2⁶³ − 1, for one purpose within an experiment."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "big") >> 1


def uniforms(seed: int, position: int, count: int) -> NDArray[np.float64]:
    """Numbers position … position + count − 1 of a stream over [0, 1), found without those before them.

    Philox4x64-10 (Salmon et al. 2011) is a function of a counter; each carries the upper 53 bits of its output.
    """
    block, skip = divmod(position, PHILOX_BLOCK)
    raw = np.random.Philox(key=[seed, 0]).advance(block).random_raw(skip + count)[skip:]
    return np.asarray((raw >> np.uint64(11)) * 2.0**-53)


@dataclass(frozen=True)
class Natural:
    """Each epoch is a permutation of range(size)."""

    size: int
    seed: int

    def at(self, position: int, count: int) -> NDArray[np.int64]:
        return indices(self.size, seed=self.seed, position=position, count=count)


class Weighted:
    """Each position draws example i with probability weights[i] / sum(weights), whatever was drawn before.

    weights: [N], finite, none below 0, one above.  Costs count · log N.
    """

    def __init__(self, weights: NDArray[np.float64], *, seed: int) -> None:
        self._cumulative = np.cumsum(weights / weights.max())  # their sum may be more than a float holds
        self._last = int(np.flatnonzero(weights)[-1])
        self._stream = stream(seed, "weighted")

    def at(self, position: int, count: int) -> NDArray[np.int64]:
        mass = uniforms(self._stream, position, count) * self._cumulative[-1]
        # from the right, so that mass on a border never falls to an example of weight 0; and rounding may reach the end
        return np.asarray(np.minimum(np.searchsorted(self._cumulative, mass, side="right"), self._last))


class Run(NamedTuple):
    """Positions that follow each other in one group.  chosen: indices into the group's shards laid end to end."""

    group: int
    chosen: NDArray[np.int64]


class Grouped:
    """Each epoch permutes the shards, takes them `group` at a time, and permutes the examples of each group.

    counts: the examples of each shard.  Groups are numbered through all epochs; only the shards of the present group
    need to be at hand.
    """

    def __init__(self, counts: Sequence[int], *, group: int, seed: int) -> None:
        self._counts = np.asarray(counts, np.int64)
        self._starts = np.cumsum(self._counts) - self._counts
        self._size, self._group = int(self._counts.sum()), group
        self._groups = -(-len(counts) // group)  # of one epoch
        self._shards, self._examples = stream(seed, "shards"), stream(seed, "examples of a group")
        self._epoch = lru_cache(maxsize=2)(self._permuted_shards)
        self._within = lru_cache(maxsize=2)(self._permuted_examples)
        self._among_all = lru_cache(maxsize=2)(self._group_among_all)

    def at(self, position: int, count: int) -> NDArray[np.int64]:
        return np.concatenate([self._among_all(run.group)[run.chosen] for run in self.runs(position, count)])

    def runs(self, position: int, count: int) -> Iterator[Run]:
        """The same examples as `at`, group after group."""
        while count:
            epoch, offset = divmod(position, self._size)
            ends = self._epoch(epoch)[1]
            number = int(np.searchsorted(ends, offset, side="right"))
            start = offset - int(ends[number - 1]) if number else offset
            chosen = self._within(epoch * self._groups + number)[start : start + count]
            yield Run(epoch * self._groups + number, chosen)
            position, count = position + len(chosen), count - len(chosen)

    def members(self, group: int) -> NDArray[np.int64]:
        """The shards of a group, in its order."""
        epoch, number = divmod(group, self._groups)
        return self._epoch(epoch)[0][number * self._group : (number + 1) * self._group]

    def _permuted_shards(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The shards of an epoch in their order, and the offset in the epoch at which each group ends."""
        shards = _generator(self._shards, epoch).permutation(len(self._counts))
        lasts = np.minimum(np.arange(1, self._groups + 1) * self._group, len(shards)) - 1
        return shards, np.cumsum(self._counts[shards])[lasts]

    def _permuted_examples(self, group: int) -> NDArray[np.int64]:
        epoch, number = divmod(group, self._groups)
        size = int(self._counts[self.members(group)].sum())
        return _generator(self._examples, epoch, number).permutation(size)

    def _group_among_all(self, group: int) -> NDArray[np.int64]:
        """The index in the whole set of each example of a group's shards laid end to end."""
        return np.concatenate([self._starts[shard] + np.arange(self._counts[shard]) for shard in self.members(group)])


@dataclass(frozen=True, eq=False)
class Subset:
    """An order over some examples.  members: [M], the indices of those examples; order: over range(M)."""

    members: NDArray[np.int64]
    order: Order

    def at(self, position: int, count: int) -> NDArray[np.int64]:
        return np.take(self.members, self.order.at(position, count))


@lru_cache(maxsize=4)  # a batch may span two epochs, and two domains have an order each
def _permutation(size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return _generator(seed, epoch).permutation(size)


def _generator(seed: int, epoch: int, number: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, number]))
