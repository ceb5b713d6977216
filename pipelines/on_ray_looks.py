"""Blocks of images looked at by Ray tasks, as many at a time as the cluster has CPUs.

Starting workers takes seconds, so the first blocks are looked at here: only where the rest would take longer than that
are they spread.  What comes of a block is the same wherever it is looked at.  A block whose worker dies is looked at
again by another, three times.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from gan_core.errors import GanError, WorkersFailed
from gan_core.metrics.look import BLOCK, Block, Looked
from pipelines.cluster import connect
from pipelines.looks import Place, Sight
from pipelines.profile import Profile
from pipelines.worker_errors import as_text, from_text

if TYPE_CHECKING:
    from ray import ObjectRef

WORTH_S = 20.0  # of work left, from which it is spread: a worker takes some 6 s until it has loaded torch
WARM = 2  # blocks of which the first loads the networks and the second is timed
AHEAD = 2  # blocks on their way for each CPU

Tell = Callable[[int, int], None]
"""Is told how many of how many images were looked at."""


def on_ray_looks(profile: Profile, tell: Tell = lambda done, images: None, worth: float = WORTH_S) -> Place:
    """A place that looks at blocks here, and by Ray tasks where the work left would take more than `worth` seconds."""

    def place(sight: Sight, blocks: Iterable[Block], images: int) -> Iterator[Looked]:
        for number, looked in enumerate(_looked(profile, sight, iter(blocks), images, worth), start=1):
            tell(min(number * BLOCK, images), images)
            yield looked

    return place


def _looked(
    profile: Profile, sight: Sight, blocks: Iterator[Block], images: int, worth: float
) -> Iterator[Looked]:
    took = 0.0
    for _, block in zip(range(WARM), blocks, strict=False):
        begun = time.monotonic()
        yield sight.look(block)
        took = time.monotonic() - begun
    left = -(-images // BLOCK) - WARM
    if left > 1 and left * took > worth:
        yield from _spread(profile, sight, blocks)
    else:
        yield from map(sight.look, blocks)


def _spread(profile: Profile, sight: Sight, blocks: Iterator[Block]) -> Iterator[Looked]:
    """In the order of the blocks; a few of them are in memory at a time."""
    connect(profile, 1)
    import ray
    from ray.exceptions import GetTimeoutError, RayError

    task = ray.remote(num_cpus=1)(_look)
    told = sight.model_dump_json()
    waiting: deque[ObjectRef[Looked | str]] = deque()
    try:
        for block in blocks:
            waiting.append(task.remote(told, block))
            if len(waiting) >= AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1))):  # nodes come and go
                yield _result(ray.get(waiting.popleft(), timeout=profile.ray.silent_s))
        while waiting:
            yield _result(ray.get(waiting.popleft(), timeout=profile.ray.silent_s))
    except GetTimeoutError as error:
        raise WorkersFailed(f"no images were looked at for {profile.ray.silent_s:g} s; see whether the cluster has "
                            "free CPUs, by `ray status` on the head; run the same command again") from error
    except RayError as error:
        last = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
        raise WorkersFailed(f"a worker that looks at images failed: {last}; run the same command again") from error


def _look(sight: str, block: Block) -> Looked | str:
    """On a worker.  What a person can put right comes back as text, for Ray would wrap it."""
    try:
        return Sight.model_validate_json(sight).look(block)
    except GanError as error:
        return as_text(error)


def _result(found: Looked | str) -> Looked:
    if isinstance(found, str):
        raise from_text(found)
    return found
