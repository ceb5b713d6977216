"""Which worker is so slow that the others wait for it: seen, named, and told again when it is over.

Each worker counts the time of its own work (`gan_core.own_time`); at the rows of the curves, where all meet anyway,
rank 0 hears of it.  Nothing of it goes into the curves: they hold no clock.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from gan_core.data.sampler import share
from gan_core.own_time import OWN
from gan_core.train.distributed import Workers
from gan_core.train.patience import Note
from gan_core.train.report import Waiting

WINDOW_S = 5.0
FEWEST = 5  # measured steps of each worker in a window
SLOW, WELL = 1.5, 1.25  # times the others' median: from the first on it is slow, below the second no more
WORTH = 0.1  # of a step's time, that the others wait: what is slow and costs nothing is nobody's trouble
IN_A_ROW = 2  # windows that agree before anything is said

Took = Sequence[float]  # seconds of own work, and the steps that they are of


@dataclass
class Seen:
    """What is known of one worker.  times: of the others' median, in the newest window.  against: windows in a row that
    do not agree with `slow`.
    """

    slow: bool = False
    times: float = 1.0
    against: int = 0
    since: float = 0.0
    spells: int = 0
    worst: float = 1.0
    seconds: float = 0.0


@dataclass
class SlowWorkers:
    """Rank 0's judgement.  hosts: of each worker.  shares: rows of a batch that each takes.  batch: all of them.

    clock: seconds that only grow.  The first window of a start is not judged: much is done there for the first time.
    """

    hosts: Sequence[str]
    shares: Sequence[int]
    batch: int
    clock: Callable[[], float] = time.monotonic
    seen: list[Seen] = field(default_factory=list)
    _sums: list[list[float]] = field(default_factory=list)
    _began: tuple[float, int] | None = None  # the window: when, at which position
    _warm: bool = False

    def hear(self, took: Sequence[Took], position: int) -> list[str]:
        """What there is to say now that each worker took so long since the last time, until this position."""
        now = self.clock()
        if self._began is None or position <= self._began[1]:  # a roll-back
            self._open(now, position)
            return []
        for sums, (seconds, steps) in zip(self._sums, took, strict=True):
            sums[0] += seconds
            sums[1] += steps
        began, start = self._began
        if now - began < WINDOW_S or min(steps for _, steps in self._sums) < FEWEST:
            return []
        each = [seconds / steps for seconds, steps in self._sums]
        whole = (now - began) * self.batch / (position - start)
        self._open(now, position)
        if not self._warm:
            self._warm = True
            return []
        return [said for rank in range(len(each)) if (said := self._judge(rank, each, whole, now - began))]

    @property
    def now(self) -> list[dict[str, Any]]:
        """The workers that are slow at present, for whoever watches."""
        return [{"rank": rank, "host": self.hosts[rank], "times": round(seen.times, 1)}
                for rank, seen in enumerate(self.seen) if seen.slow]

    @property
    def facts(self) -> dict[str, Any]:
        """For the finished run: the workers that were slow at any time, for how many seconds and how slow at worst."""
        found = [{"rank": rank, "host": self.hosts[rank], "spells": seen.spells, "seconds": round(seen.seconds),
                  "times": round(seen.worst, 1)} for rank, seen in enumerate(self.seen) if seen.spells]
        return {"slow_workers": found} if found else {}

    def _open(self, now: float, position: int) -> None:
        self._began = now, position
        self._sums = [[0.0, 0.0] for _ in self.hosts]
        self.seen = self.seen or [Seen() for _ in self.hosts]

    def _judge(self, rank: int, each: Sequence[float], whole: float, window: float) -> str:
        """each: seconds of own work a step.  whole: of a step with all its waits."""
        seen = self.seen[rank]
        # where few rows are dealt, one more is much: nobody is blamed for having it
        own = each[rank] * min(1.0, median(self.shares) / self.shares[rank])
        others = median([*each[:rank], *each[rank + 1:]])
        seen.times = own / others if others else 1.0
        if seen.slow:
            seen.seconds += window
            seen.worst = max(seen.worst, seen.times)
        bound = WELL if seen.slow else SLOW
        is_slow = seen.times > bound and (seen.slow or own - others > WORTH * whole)
        seen.against = seen.against + 1 if is_slow != seen.slow else 0
        if seen.against < IN_A_ROW:
            return ""
        seen.slow, seen.against, now = is_slow, 0, self.clock()
        who = f"worker {rank} on {self.hosts[rank]}"
        others_are = "the others" if len(each) > 2 else "the other"
        if not is_slow:
            return f"{who} is as fast as {others_are} again, after {now - seen.since:.0f} s"
        seen.since, seen.spells, seen.worst = now, seen.spells + 1, max(seen.worst, seen.times)
        return (f"{who} takes {seen.times:.1f} x as long for a step as {others_are}: {own:.3g} s of its own work "
                f"against {others:.3g} s, and all wait for it; see what else runs on {self.hosts[rank]}, and whether "
                "it is throttled")


@dataclass
class Pace:
    """One worker's part in it.  judge: on rank 0; None where there is nobody to wait for."""

    workers: Workers
    judge: SlowWorkers | None
    note: Note
    event: Callable[[Waiting], None]

    @staticmethod
    def of(workers: Workers, batch: int, note: Note, event: Callable[[Waiting], None]) -> Pace:
        """batch: rows that the workers share.  Called on all workers."""
        OWN.take()  # of another run of this process
        hosts = workers.names(socket.gethostname())
        if not workers.lead or workers.world == 1:
            return Pace(workers, None, note, event)
        cuts = [share(batch, rank, workers.world) for rank in range(workers.world)]
        return Pace(workers, SlowWorkers(hosts, [cut.stop - cut.start for cut in cuts], batch), note, event)

    def look(self, position: int) -> None:
        """Has rank 0 hear of all, and say what there is to say.  Called on all workers, where they meet."""
        if self.workers.world == 1:
            return
        took = self.workers.told_by_all(OWN.take())
        for line in self.judge.hear(took, position) if self.judge else ():
            self.note(line)
            self.event(Waiting(position, tuple(one["rank"] for one in self.slow)))

    @property
    def slow(self) -> list[dict[str, Any]]:
        return self.judge.now if self.judge else []

    @property
    def facts(self) -> dict[str, Any]:
        return self.judge.facts if self.judge else {}
