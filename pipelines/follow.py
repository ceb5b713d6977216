"""Following a training run from outside, by what it writes to the store: works across processes and machines."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from gan_core.store import Store

POLL_S = 1.0

Row = dict[str, float]


def latest_row(store: Store, run_prefix: str) -> Row | None:
    """The newest row of a run's curves; None before its first checkpoint."""
    parts = store.names(f"{run_prefix}/metrics")
    try:
        lines = store.read(f"{run_prefix}/metrics/{parts[-1]}").splitlines() if parts else []
    except FileNotFoundError:  # dropped by a resume since it was listed
        return None
    return json.loads(lines[-1]) if lines else None


@dataclass
class Follower:
    """Calls `tell` with each new row while the `with` block runs; `where` gives the run's prefix, or '' for none."""

    store: Store
    where: Callable[[], str]
    tell: Callable[[Row], None]
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
        seen = -1.0
        while not self._stop.wait(POLL_S):
            prefix = self.where()
            row = latest_row(self.store, prefix) if prefix else None
            if row is not None and row["position"] > seen:
                seen = row["position"]
                self.tell(row)
