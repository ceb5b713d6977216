"""What the workers of a run are asked from outside while they train, and how rank 0 hears of it.

    runs/<key>/stops/<fit_id>.json    written by whoever wants this start of the run to stop, on any machine

The training loop asks after every step and must not wait, so a thread looks.
"""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from gan_core.store import Store
from gan_core.train.report import Command
from pipelines.messages import Messages

LOOK_S = 1.0
LAST_WORDS_S = 10.0  # that a run's end waits for its last lines


def ask_to_stop(store: Store, run_prefix: str, fit_id: str, why: str) -> None:
    """Has the workers stop after a checkpoint at their next step.  why: 'SIGTERM'."""
    store.write(_stop(run_prefix, fit_id), json.dumps({"why": why, "host": socket.gethostname()}).encode())


@dataclass
class Orders:
    """What rank 0 should do, and what it says; the thread of `with` looks once a second and writes.

    notice: says why a checkpoint is wanted now, or None; the first reason makes one checkpoint.
    """

    store: Store
    run_prefix: str
    fit_id: str
    notice: Callable[[], str | None] = lambda: None
    _stop: threading.Event = field(default_factory=threading.Event)
    _checkpoint: threading.Event = field(default_factory=threading.Event)
    _over: threading.Event = field(default_factory=threading.Event)
    _lines: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    _noticed: bool = False
    _thread: threading.Thread | None = None

    def __enter__(self) -> Orders:
        self._thread = threading.Thread(target=self._look, name="orders", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join(LAST_WORDS_S)

    def command(self) -> Command:
        """Never waits.  STOP stays; CHECKPOINT is said once for each time it is wanted."""
        if self._stop.is_set():
            return Command.STOP
        if self._checkpoint.is_set():
            self._checkpoint.clear()
            return Command.CHECKPOINT
        return Command.CONTINUE

    def want_checkpoint(self) -> None:
        """One more checkpoint, at the next step."""
        self._checkpoint.set()

    def say(self, line: str) -> None:
        """A line for whoever started the run.  Never waits."""
        self._lines.put(line)

    def _look(self) -> None:
        store = self.store.once()  # what a second look finds must not wait for the first
        messages = Messages(store, self.run_prefix, self.fit_id)
        over = False
        while not over:
            self._write(messages)
            with suppress(Exception):  # a store that does not answer now may answer in a second
                if store.exists(_stop(self.run_prefix, self.fit_id)):
                    self._stop.set()
            self._heed(self.notice())
            self._write(messages)  # now: the node of this worker may be the one that is taken away
            over = self._over.wait(LOOK_S)
        self._write(messages)

    def _write(self, messages: Messages) -> None:
        while not self._lines.empty():
            messages.say(self._lines.get())

    def _heed(self, why: str | None) -> None:
        if why and not self._noticed:
            self._noticed = True
            self.say(f"{why}: a checkpoint is made now")
            self.want_checkpoint()


def _stop(run_prefix: str, fit_id: str) -> str:
    return f"{run_prefix}/stops/{fit_id}.json"
