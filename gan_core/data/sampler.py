"""The order of examples: a pure function of (seed, position), the same for any number of workers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


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


@lru_cache(maxsize=2)  # a batch may span the end of one epoch and the start of the next
def _permutation(size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return generator.permutation(size)
