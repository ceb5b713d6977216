"""Requests that wait, put into one forward pass: one thread runs the network, and all others wait for it.

A pass takes what is waiting at that moment, first come, first served, and never waits for more: while it runs, the
next one's requests gather.  The inputs of each request are functions of its own seed and conditions, so that its
images are the same whatever else is in the pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread

import numpy as np
from numpy.typing import NDArray

from gan_core.asked import Rows
from gan_core.bundle import Generator
from pipelines.serving.limits import Limits


class Busy(Exception):  # noqa: N818 - named for what happened, as the answer says it
    """As many requests wait as may."""


@dataclass(frozen=True)
class Wanted:
    """What one request asks of whichever generator is served when its turn comes; as of `Generator.sample`."""

    n: int
    seed: int
    label: int | None = None
    attributes: dict[str, float] | None = None
    truncation: float | None = None

    def inputs(self, generator: Generator) -> Rows:
        """A row of every input for each image.  ConfigError for what this generator does not take."""
        return next(generator.inputs(self.n, self.n, seed=self.seed, label=self.label, attributes=self.attributes,
                                     truncation=self.truncation))


@dataclass(frozen=True)
class Made:
    """images: uint8 [n, C, H, W].  by: the generator that made them."""

    images: NDArray[np.uint8]
    by: Generator


@dataclass(frozen=True)
class Job:
    """A request that waits.  Its future is cancelled when nobody waits for it any more."""

    wanted: Wanted
    future: Future[Made] = field(default_factory=Future)


class Batcher:
    """The queue and the thread.  told: hears of each pass how many images it made."""

    def __init__(self, generator: Generator, limits: Limits, told: Callable[[int], None]) -> None:
        self.generator = generator  # set from any thread; a pass keeps the one that it began with
        self._limits = limits
        self._told = told
        self._queue: deque[Job] = deque()
        self._changed = Condition()
        self._open = True
        self._thread = Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that are not begun and that somebody waits for."""
        with self._changed:
            return sum(not job.future.cancelled() for job in self._queue)

    @property
    def ready(self) -> bool:
        """Whether another request would be taken."""
        return self._open and self._thread.is_alive() and self.waiting < self._limits.max_waiting

    def submit(self, wanted: Wanted) -> Future[Made]:
        """Puts a request at the end of the queue.  Busy when as many wait as may; the future raises ConfigError for
        what the generator does not take, and Diverged where its weights make numbers that are not finite.
        """
        job = Job(wanted)
        with self._changed:
            if len(self._queue) >= self._limits.max_waiting:
                self._queue = deque(job for job in self._queue if not job.future.cancelled())
            if not self._open or len(self._queue) >= self._limits.max_waiting:
                raise Busy
            self._queue.append(job)
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Makes what waits, and ends the thread."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while jobs := self._next():
            self._answer(jobs)

    def _next(self) -> list[Job]:
        """The jobs of the next pass, when there are any: at least one, and as many as its images allow.  [] at the end.
        """
        taken: list[Job] = []
        images = 0
        with self._changed:
            while not taken:
                self._changed.wait_for(lambda: self._queue or not self._open)
                if not self._queue:
                    return []
                while self._queue and (not taken or images + self._queue[0].wanted.n <= self._limits.max_batch):
                    job = self._queue.popleft()
                    if job.future.set_running_or_notify_cancel():
                        taken.append(job)
                        images += job.wanted.n
        return taken

    def _answer(self, jobs: Sequence[Job]) -> None:
        """Where one pass of all fails, each gets one of its own: no request fails for what another one asked."""
        generator = self.generator
        try:
            images = self._pass(generator, [job.wanted for job in jobs])
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
            else:
                for job in jobs:
                    self._answer([job])
            return
        ends = np.cumsum([job.wanted.n for job in jobs])
        for job, part in zip(jobs, np.split(images, ends[:-1]), strict=True):
            job.future.set_result(Made(part, generator))

    def _pass(self, generator: Generator, wanted: Sequence[Wanted]) -> NDArray[np.uint8]:
        """The images of several requests, one after the other."""
        each = [one.inputs(generator) for one in wanted]
        together = {name: np.concatenate([inputs[name] for inputs in each]) for name in each[0]}
        count = sum(one.n for one in wanted)
        made = []
        for start in range(0, count, self._limits.max_batch):
            part = slice(start, start + self._limits.max_batch)
            made.append(generator.images_of({name: values[part] for name, values in together.items()}))
            self._told(len(made[-1]))
        return np.concatenate(made)
