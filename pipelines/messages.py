"""Lines from the workers of a run to whoever started it, through the store: they reach any machine.

    runs/<key>/messages/<fit_id>/<nanoseconds>.txt
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field

from gan_core.store import Store


@dataclass
class Messages:
    """The lines of one start of a run, `fit_id`.  A line that the store does not take or give is only a line less."""

    store: Store
    run_prefix: str
    fit_id: str
    _heard: set[str] = field(default_factory=set)

    @property
    def prefix(self) -> str:
        return f"{self.run_prefix}/messages/{self.fit_id}"

    def say(self, line: str) -> None:
        """Leaves a line for whoever listens; may wait for the store, and raises nothing."""
        with suppress(Exception):  # every file system has its own errors, and none is worth a training run
            self.store.write(f"{self.prefix}/{time.time_ns():020d}.txt", line.encode())

    def new(self) -> list[str]:
        """The lines that were left since the last look, oldest first."""
        lines = []
        with suppress(Exception):
            for name in self.store.names(self.prefix):
                if name not in self._heard:
                    lines.append(self.store.read(f"{self.prefix}/{name}").decode())
                    self._heard.add(name)
        return lines
