"""How long this process works on its steps by itself, apart from waiting for the other workers.

    begin → work → [`others` around an exchange] → work → … → end

Workers take their steps together, so all steps last as long as the slowest worker's: only the work between two
exchanges tells which one that is.  Gradients travel beside the backward pass: from `handed_over`, when the last of them
are ready, until `received`, when the pass is over, a worker waits.

On a GPU the same by events of its stream: what the process is late with is in them too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

CUDA_EVERY = 8  # steps: an event costs microseconds, a step has dozens
Mark = float | torch.cuda.Event


class OwnTime:
    """Sums over the steps since the last `take`."""

    def __init__(self) -> None:
        self._seconds, self._steps, self._begun = 0.0, 0, 0
        self._cuda = False
        self._stretches: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []  # that the GPU may not have come to
        self._since: Mark | None = None  # None: not at work, or not measured
        self._handed: Mark | None = None

    def begin(self, device: torch.device) -> None:
        """A step of this worker's begins; its batch is there."""
        self._cuda, self._begun = device.type == "cuda", self._begun + 1
        self._since = self._handed = None
        if self._cuda and self._begun % CUDA_EVERY:
            return
        self._count()
        self._steps += 1
        self._since = self._now()

    def end(self) -> None:
        self._stop(None)

    @contextmanager
    def others(self) -> Iterator[None]:
        """In this block the worker waits for the others."""
        if self._since is None:
            yield
            return
        self._stop(None)
        yield
        self._since = self._now()

    def handed_over(self) -> None:
        """Gradients are on their way; the last time in a backward pass is when this worker has done its part."""
        if self._since is not None:
            self._handed = self._now()

    def received(self) -> None:
        """The backward pass is over, and with it the wait for everybody's gradients."""
        if self._handed is not None:
            self._stop(self._handed)
            self._since = self._now()

    def take(self) -> tuple[float, int]:
        """Seconds of own work, and the steps that they are of, since the last time."""
        if self._stretches:
            self._stretches[-1][1].synchronize()
        self._count()
        found = self._seconds, self._steps
        self._seconds, self._steps = 0.0, 0
        return found

    def _stop(self, at: Mark | None) -> None:
        """at: None is now."""
        since, self._since, self._handed = self._since, None, None
        if since is None:
            return
        until = self._now() if at is None else at
        if isinstance(since, float) and isinstance(until, float):
            self._seconds += until - since
        elif not isinstance(since, float) and not isinstance(until, float):
            self._stretches.append((since, until))

    def _count(self) -> None:
        """Adds up what the GPU has come to; waits for nothing."""
        if self._stretches and self._stretches[-1][1].query():
            self._seconds += sum(since.elapsed_time(until) for since, until in self._stretches) / 1000
            self._stretches.clear()

    def _now(self) -> Mark:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


OWN = OwnTime()  # a process takes one step at a time
