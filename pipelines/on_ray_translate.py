"""Files translated by Ray tasks, as many at a time as the cluster has CPUs.

A task is told which files, and answers which of them could not be read; images do not pass through Ray.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gan_core.errors import GanError, WorkersFailed
from pipelines.cluster import connect
from pipelines.profile import Profile
from pipelines.translate_files import Order
from pipelines.worker_errors import as_text, from_text

if TYPE_CHECKING:
    from ray import ObjectRef

WORTH_S = 20.0  # of work left, from which it is spread: a worker takes some 6 s until it has loaded torch
AHEAD = 2  # parts on their way for each CPU

Bad = list[tuple[str, str]]


def carried_out(
    profile: Profile, workers: int | None, order: Order, parts: Sequence[Sequence[str]], worth: float = WORTH_S
) -> Iterator[tuple[int, Bad]]:
    """Of each part of the files, as it is done: how many there were, and those that could not be read.

    workers: tasks at a time, 1 for this process alone; with None all CPUs of the cluster where the rest would take more
    than `worth` seconds here, judged by the first two parts.
    """
    here = len(parts) if workers == 1 else 0 if workers else min(2, len(parts))
    took = 0.0
    for part in parts[:here]:
        begun = time.monotonic()
        yield len(part), order.translate(part)
        took = time.monotonic() - begun
    left = parts[here:]
    if left and (workers or took * len(left) > worth):
        yield from _spread(profile, workers, order, left)
    else:
        yield from ((len(part), order.translate(part)) for part in left)


def _spread(
    profile: Profile, workers: int | None, order: Order, parts: Sequence[Sequence[str]]
) -> Iterator[tuple[int, Bad]]:
    connect(profile, workers or 1)
    import ray
    from ray.exceptions import RayError

    task, told = ray.remote(num_cpus=1)(_translate), order.model_dump_json()
    most = workers or AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting: deque[tuple[int, ObjectRef[Bad | str]]] = deque()
    try:
        for part in parts:
            waiting.append((len(part), task.remote(told, list(part))))
            if len(waiting) >= most:
                yield _result(*waiting.popleft(), profile.ray.silent_s)
        while waiting:
            yield _result(*waiting.popleft(), profile.ray.silent_s)
    except RayError as error:
        last = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
        raise WorkersFailed(f"a worker that translates images failed: {last}; the same command goes on with the files "
                            "that are missing") from error


def _translate(order: str, paths: list[str]) -> Bad | str:
    """On a worker.  What a person can put right comes back as text, for Ray would wrap it."""
    try:
        return Order.model_validate_json(order).translate(paths)
    except GanError as error:
        return as_text(error)


def _result(count: int, reference: ObjectRef[Bad | str], silent_s: float) -> tuple[int, Bad]:
    import ray

    found: Bad | str = ray.get(reference, timeout=silent_s)
    if isinstance(found, str):
        raise from_text(found)
    return count, found
