"""The time that a search has taken, over all its starts."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field

from gan_core.store import Store

NOTE_EVERY_S = 10.0


@dataclass
class Budget:
    """left: seconds of the limit when this start began; None without one."""

    store: Store
    path: str
    left: float | None
    _began: float = field(default_factory=time.monotonic)
    _noted: float = 0.0

    @staticmethod
    def of(store: Store, search: str, limit_s: float | None) -> Budget:
        """Of a start that begins now."""
        spent = 0.0
        for name in store.names(f"{search}/spent"):
            spent += json.loads(store.read(f"{search}/spent/{name}"))["seconds"]
        left = None if limit_s is None else max(0.0, limit_s - spent)
        return Budget(store, f"{search}/spent/{uuid.uuid4().hex}.json", left)

    def note(self, now: bool = False) -> None:
        """Keeps what this start has taken, every ten seconds or now."""
        seconds = time.monotonic() - self._began
        if now or seconds - self._noted > NOTE_EVERY_S:
            self._noted = seconds
            self.store.write(self.path, json.dumps({"seconds": round(seconds, 1)}).encode())
