"""The newest word on a run, written beside training whether or not the store is well: for whoever watches."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

PROGRESS = "progress.json"  # below a run: its newest row, and what goes wrong in it
LAST_WORD_S = 2.0  # that the end of a run waits for its last word


class Newest:
    """Hands values to `write` in a thread, one at a time; what comes while one is written replaces what waits.

    Errors of `write` are swallowed, and nobody waits for it: the process may end while it is under way.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._waiting: bytes | None = None
        self._thread: threading.Thread | None = None

    def tell(self, value: bytes) -> None:
        with self._lock:
            self._waiting = value
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="progress", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Waits a moment for what was told last."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(LAST_WORD_S)

    def _work(self) -> None:
        while True:
            with self._lock:
                value, self._waiting = self._waiting, None
                if value is None:
                    self._thread = None
                    return
            with contextlib.suppress(Exception):
                self._write(value)
