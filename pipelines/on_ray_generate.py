"""Shards of a synthetic set made by Ray tasks, as many at a time as the cluster has CPUs.

Nothing large passes through Ray: a task is told which shard to write, and answers what it wrote.  One whose worker
dies is done again by another, three times.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from gan_core.bundle import BATCH, read_generator
from gan_core.data.parts import Part, Written
from gan_core.errors import GanError, WorkersFailed
from gan_core.store import Store
from gan_core.synthesis import Order, ShardWriter, Tell, in_precision
from gan_core.synthetic_set import Place, in_turn
from pipelines.cluster import connect
from pipelines.profile import Profile

if TYPE_CHECKING:
    from ray import ObjectRef

WORTH_S = 20.0  # of work left, from which it is spread: a worker takes some 6 s until it has loaded torch
TELLING_S = 2.0  # of a batch, of which the beginning costs least
AHEAD = 2  # shards on their way for each CPU


def on_ray_generate(profile: Profile, workers: int | None, worth: float = WORTH_S) -> Place:
    """Where shards are written: `workers` at a time, 1 in this process.

    With None in this process where that takes less than `worth` seconds, else on all CPUs of the cluster.
    """

    def place(writer: ShardWriter, parts: Sequence[Part], tell: Tell) -> Iterator[Written]:
        alone = workers == 1 or len(parts) == 1 or writer.store.url.startswith("memory://")
        if alone or (workers is None and _seconds(writer, parts) < worth):
            return in_turn(writer, parts, tell)
        return _spread(profile, workers, writer, parts, tell)

    return place


def _seconds(writer: ShardWriter, parts: Sequence[Part]) -> float:
    """What the shards would take here, judged by the second of two batches, or the first where that tells enough."""
    took = 0.0
    for _ in range(2):
        begun = time.monotonic()
        writer.try_out()
        took = time.monotonic() - begun
        if took > TELLING_S:
            break
    return took * sum(part.stop - part.start for part in parts) / BATCH


def _spread(
    profile: Profile, workers: int | None, writer: ShardWriter, parts: Sequence[Part], tell: Tell
) -> Iterator[Written]:
    connect(profile, workers or 1)
    import ray
    from ray.exceptions import RayError

    task = ray.remote(num_cpus=1)(_write)
    told = (writer.order.model_dump_json(), writer.store.url, writer.prefix)
    most = workers or AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting: list[ObjectRef[Written | str]] = []
    left = iter(parts)
    try:
        while True:
            for part in left:
                waiting.append(task.remote(*told, part.model_dump_json()))
                if len(waiting) == most:
                    break
            if not waiting:
                return
            done, waiting = ray.wait(waiting, timeout=profile.ray.silent_s)
            if not done:
                raise WorkersFailed(f"no shard was made for {profile.ray.silent_s:g} s; see whether the cluster has "
                                    "free CPUs, by `ray status` on the head; the same command goes on with the shards "
                                    "that are missing")
            for one in done:
                written = _result(ray.get(one))
                tell(written.examples)
                yield written
    except RayError as error:
        last = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
        raise WorkersFailed(f"a worker that makes images failed: {last}; the same command goes on with the shards that "
                            "are missing") from error


def _write(order: str, store: str, prefix: str, part: str) -> Written | str:
    """On a worker.  What a person can put right comes back as text, for Ray would wrap it."""
    try:
        return _writer(order, store, prefix).write(Part.model_validate_json(part))
    except GanError as error:
        return str(error)


@lru_cache(maxsize=2)
def _writer(order: str, store: str, prefix: str) -> ShardWriter:
    """Once a worker process."""
    asked = Order.model_validate_json(order)
    generator = read_generator(Store(asked.store), asked.prefix)
    return ShardWriter(asked, in_precision(generator, asked.precision), Store(store), prefix)


def _result(written: Written | str) -> Written:
    if isinstance(written, str):
        raise GanError(written)
    return written
