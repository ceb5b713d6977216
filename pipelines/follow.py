"""Following a training run from outside, by what it writes to the store: works across processes and machines."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from gan_core.store import Store
from gan_core.train.progress import PROGRESS
from gan_core.train.report import Trouble

POLL_S = 1.0
SPEED_OVER_S = 30.0  # of wall time that a speed is the mean of

Row = Mapping[str, float]


@dataclass(frozen=True)
class Progress:
    """A run's newest row of its curves, and what goes wrong in it at that position.

    compared: the newest values of what few rows hold, such as fd_domain.
    """

    row: Row
    troubles: tuple[Trouble, ...] = ()
    compared: Row = field(default_factory=dict)

    @property
    def position(self) -> int:
        return int(self.row["position"])


def latest_progress(store: Store, run_prefix: str) -> Progress | None:
    """How far a run is; None before its first row.

    From progress.json, or where that is not there from the parts of the curves, one a checkpoint.
    """
    try:
        told = json.loads(store.read(f"{run_prefix}/{PROGRESS}"))
    except FileNotFoundError:
        return _newest_saved(store, run_prefix)
    troubles = tuple(Trouble(**trouble) for trouble in told["troubles"])
    return Progress(_finite(told["row"]), troubles, told.get("compared", {}))


def _newest_saved(store: Store, run_prefix: str) -> Progress | None:
    parts = store.names(f"{run_prefix}/metrics")
    try:
        lines = store.read(f"{run_prefix}/metrics/{parts[-1]}").splitlines() if parts else []
    except FileNotFoundError:  # dropped by a resume since it was listed
        return None
    return Progress(_finite(json.loads(lines[-1]))) if lines else None


def _finite(row: Mapping[str, float | None]) -> Row:
    """JSON has no word for what is not finite."""
    return {name: value for name, value in row.items() if value is not None}


@dataclass
class Speed:
    """Images a second as seen from here: the mean over the last half minute, by differences of positions."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def at(self, now: float, position: int) -> float | None:
        """With this sight of a position at a time in seconds; None until there are two of one attempt."""
        if self._seen and position < self._seen[-1][1]:
            self._seen.clear()  # workers were lost, and training went on from a checkpoint
        self._seen.append((now, position))
        while len(self._seen) > 2 and now - self._seen[1][0] > SPEED_OVER_S:
            self._seen.popleft()
        then, start = self._seen[0]
        return (position - start) / (now - then) if position > start and now > then else None


@dataclass
class Follower:
    """Calls `tell` with each new row while the `with` block runs; `where` gives the run's prefix, or '' for none.

    What is in the store at the first look is from an earlier attempt, which may have been further than its newest
    checkpoint: it is not told.  Following never ends a run: what cannot be read now is looked for again.
    """

    store: Store
    where: Callable[[], str]
    tell: Callable[[Progress], None]
    poll_s: float = POLL_S
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Follower:
        self._thread = threading.Thread(target=self._follow, name="follow", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _follow(self) -> None:
        followed, seen = "", None
        while not self._stop.wait(self.poll_s):
            with suppress(Exception):  # the clients of remote stores have no common class for "not now"
                prefix = self.where()
                found = latest_progress(self.store, prefix) if prefix else None
                if prefix != followed:
                    followed, seen = prefix, found
                elif found is not None and found != seen:
                    seen = found
                    self.tell(found)
