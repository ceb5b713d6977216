"""An experiment's lock in its store: of all machines that share the store, one runs the experiment at a time.

    locks/<experiment>/<NNNNNN>.json             a holder, made by exclusive create; the highest number is current
    locks/<experiment>/<NNNNNN>.beat.json        rewritten by the holder three times a lease, with a counter
    locks/<experiment>/<NNNNNN>.cancel.json      written by whoever wants the holder to stop
    locks/<experiment>/<NNNNNN>.released.json    written by the holder at its end

A holder that died is replaced by whoever creates the next number.  On its own host it is dead when its process is gone;
seen from another host, when its counter stood still for a lease by the clock of the one who looks.  Neither compares
clocks of two machines, nor asks what time it is.  A holder that was only stopped for that long sees the higher number
when it goes on.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from gan_core.errors import GanError, StoreError
from gan_core.store import Store
from pipelines.holders import (
    ATTEMPTS,
    BEATS,
    LOOKS,
    Holder,
    folder,
    held,
    is_released,
    lives,
    newest,
    numbers,
    path,
    this_process,
)
from pipelines.models import now, who
from pipelines.records import run_name

__all__ = ["AlreadyRunning", "ExperimentLock", "Holder", "ask_to_cancel", "live_holder", "sigterm_self"]

KEPT = 2  # newest numbers

_log = logging.getLogger(__name__)


class AlreadyRunning(GanError):  # noqa: N818
    """Another process, or this one, runs the experiment on that store."""

    def __init__(self, message: str, holder: Holder) -> None:
        super().__init__(message)
        self.holder = holder


def sigterm_self() -> None:
    """What a run ends by after a checkpoint, with exit status 143."""
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass
class ExperimentLock:
    """A lock that this process holds until `release`, or the end of its `with` block.

    took_over: the dead holder that this one replaced.  lost: set once another has replaced this one.  why: once
    `on_cancel` is called, who wants this run to stop, and why.
    """

    store: Store
    experiment: str
    holder: Holder
    took_over: Holder | None
    on_cancel: Callable[[], None]
    lost: threading.Event = field(default_factory=threading.Event)
    why: str = ""
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @staticmethod
    def acquire(
        store: Store, experiment: str, *, run: str, flow_run: str = "", on_cancel: Callable[[], None] = sigterm_self
    ) -> ExperimentLock:
        """Takes the lock; waits up to a lease where the holder is of another host and may be dead.

        on_cancel: called once in a thread when somebody asks this run to stop, or has replaced it.
        AlreadyRunning when somebody alive has the lock.  StoreError when the store does not answer.
        """
        for _ in range(ATTEMPTS):
            number, before = newest(store, experiment)
            if before is not None and lives(store, experiment, before):
                raise AlreadyRunning(_refusal(store, experiment, before), before)
            if before is not None and is_released(store, experiment, number):
                before = None  # while one waited for a sign of life
            mine = this_process(number + 1, run, flow_run)
            try:
                store.create(path(experiment, mine.number), mine.model_dump_json(indent=1).encode())
            except FileExistsError:
                continue
            if _is_newest(store, experiment, mine.number):
                held.add((store.url, experiment, mine.number))
                lock = ExperimentLock(store, experiment, mine, before, on_cancel)
                lock._begin()
                return lock
        raise StoreError(f"{store.uri(folder(experiment))}: lost {ATTEMPTS} races for the next number; "
                         "see who else writes there")

    def release(self) -> None:
        """Lets others have it.  A store that does not answer now costs the next holder a look whether this lives."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        held.discard((self.store.url, self.experiment, self.holder.number))
        try:
            self.store.write(path(self.experiment, self.holder.number, "released"), _json(when=now()))
        except (OSError, StoreError) as error:
            _log.warning("the lock of %s could not be released: %s", self.experiment, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _begin(self) -> None:
        _remove_old(self.store, self.experiment, self.holder.number)
        self._thread = threading.Thread(target=self._beat, name="lock", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        store = self.store.once()  # a beat must not wait for the one before
        count, pause = 0, 0.0
        while not self._over.wait(pause):
            count += 1
            try:
                self._heed(store)
                if self.lost.is_set():
                    return
                store.write(path(self.experiment, self.holder.number, "beat"), _json(count=count))
                pause = self.holder.lease / BEATS
            except Exception:  # a store that does not answer now may answer soon, and nobody else hears it meanwhile
                pause = self.holder.lease / LOOKS

    def _heed(self, store: Store) -> None:
        names = store.names(folder(self.experiment))
        why = ""
        if max(numbers(names), default=0) > self.holder.number:
            why = "another run took over, as this one gave no sign of life for its lease"
            self.lost.set()
        elif f"{self.holder.number:06d}.cancel.json" in names:
            asked = json.loads(store.read(path(self.experiment, self.holder.number, "cancel")))
            why = f"{asked['who']} asked it to stop: {asked['why']}"
        if why and not self.why:
            self.why = why
            _log.warning("%s: %s", self.experiment, why)
            self.on_cancel()


def live_holder(store: Store, experiment: str) -> Holder | None:
    """Who runs an experiment now; None when nobody alive does.  Waits up to a lease for one of another host."""
    _, holder = newest(store, experiment)
    return holder if holder is not None and lives(store, experiment, holder) else None


def ask_to_cancel(store: Store, experiment: str, number: int, why: str) -> None:
    """Has the holder of that number stop; it looks three times a lease.  why: for the record."""
    store.write(path(experiment, number, "cancel"), _json(why=why, who=who(), when=now()))


def _is_newest(store: Store, experiment: str, number: int) -> bool:
    """Whether a number just created stands; a lower one, free again since it was removed, is withdrawn."""
    if max(numbers(store.names(folder(experiment)))) == number:
        return True
    store.delete(path(experiment, number))
    return False


def _remove_old(store: Store, experiment: str, number: int) -> None:
    """Nothing depends on it; they would only be many."""
    with suppress(OSError, StoreError):
        for name in store.names(folder(experiment)):
            if int(name.partition(".")[0]) <= number - KEPT:
                store.delete(f"{folder(experiment)}/{name}")


def _refusal(store: Store, experiment: str, holder: Holder) -> str:
    run = run_name(holder.run)
    return (f"{experiment} is run already by process {holder.pid} on {holder.host} since {holder.taken}; "
            f"`gan runs show {run} --store {store.url}` shows how far it is: wait for its end, or stop it by "
            f"`gan runs cancel {run} --store {store.url}`")


def _json(**values: str | int) -> bytes:
    return json.dumps(values).encode()
