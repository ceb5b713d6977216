"""Trying again through outages of the store, with exponential back-off and jitter, for a stated time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_any,
    stop_before_delay,
    stop_when_event_set,
    wait_random_exponential,
)

from gan_core.errors import GanError, StoreError
from gan_core.outages import reason, transient
from gan_core.store import Store

LONGEST_WAIT_S = 30.0  # between two tries; a store that is back is noticed soon, a struggling one is left alone
READ_PATIENCE_S = 60.0
UPLOAD_PATIENCE_S = 1800.0  # of one checkpoint
WORKERS_WAIT_S = 2 * UPLOAD_PATIENCE_S + 600.0  # for each other: rank 0 may wait for the store with two checkpoints
T = TypeVar("T")
Note = Callable[[str], None]


def unheard(text: str) -> None:
    """Where nobody listens."""


class Patience:
    """`patience(act)` is act(), tried again while its errors are transient, for `seconds` in all.

    what: names the work in notes, as in "upload of checkpoint 10,240".  note: hears of the first failure and, when the
    `with` block ends well after one, of the success.  before_again: called before each further try.  give_up: once
    set, a failure is the last.
    Raises StoreError with advice when the time is over; OSErrors and GanErrors that no patience helps as they come,
    and the errors that packages have of their own, such as of missing credentials, as StoreError.
    """

    def __init__(
        self, what: str, seconds: float, note: Note = unheard, before_again: Callable[[], object] = lambda: None,
        give_up: Event | None = None,
    ) -> None:
        self.what = what
        self.seconds = seconds
        self._note = note
        self._before_again = before_again
        self._give_up = give_up or Event()
        self._failures = 0
        self._spent = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._failures and error is None:
            self._note(f"{self.what} succeeded after {self._failures + 1} tries")

    def __call__(self, act: Callable[[], T]) -> T:
        tries = Retrying(
            retry=retry_if_exception(transient),
            wait=wait_random_exponential(multiplier=1, max=LONGEST_WAIT_S),
            stop=stop_any(stop_before_delay(self.seconds - self._spent), stop_when_event_set(self._give_up)),
            sleep=sleep_using_event(self._give_up),
            before_sleep=self._failed,
            reraise=True,
        )
        began, failures = time.monotonic(), self._failures

        def once() -> T:
            if self._failures > failures:
                self._before_again()
            return act()

        try:
            done = tries(once)
        except Exception as error:
            if not transient(error):
                if isinstance(error, OSError | GanError):
                    raise
                raise StoreError(f"{self.what} failed: {reason(error)}; nothing that was finished is lost: put it "
                                 "right, and run the same command again") from error
            waited = f"for {_minutes(self.seconds)}" if not self._give_up.is_set() else "when training ended"
            raise StoreError(f"{self.what} failed {waited}: {reason(error)}; nothing that was finished is lost: when "
                             "the store answers again, run the same command") from error
        if self._failures > failures:
            self._spent += time.monotonic() - began
        return done

    def _failed(self, state: RetryCallState) -> None:
        assert state.outcome is not None
        error = state.outcome.exception()
        assert error is not None
        self._failures += 1
        if self._failures == 1:
            self._note(f"{self.what} fails: {reason(error)}; trying again for up to {_minutes(self.seconds)}")


class PatientStore(Store):
    """A store each of whose operations is tried again through outages.

    With `within`, all operations share one patience and its time; without, each has `seconds` of its own.
    """

    def __init__(
        self, store: Store, *, seconds: float = READ_PATIENCE_S, note: Note = unheard, within: Patience | None = None
    ) -> None:
        self.__dict__.update(store.__dict__)
        self._store, self._seconds, self._note, self._within = store, seconds, note, within

    def exists(self, path: str) -> bool:
        return self._patiently(lambda: self._store.exists(path))

    def read(self, path: str) -> bytes:
        return self._patiently(lambda: self._store.read(path))

    def write(self, path: str, data: bytes) -> None:
        self._patiently(lambda: self._store.write(path, data))

    def create(self, path: str, data: bytes) -> None:
        """As the store's own.  FileExistsError also when a try that seemed to fail had made the object."""
        self._patiently(lambda: self._store.create(path, data))

    def put(self, local: Path, path: str) -> None:
        self._patiently(lambda: self._store.put(local, path))

    def get(self, path: str, local: Path) -> None:
        self._patiently(lambda: self._store.get(path, local))

    def sizes(self, prefix: str) -> dict[str, int]:
        return self._patiently(lambda: self._store.sizes(prefix))

    def names(self, prefix: str) -> list[str]:
        return self._patiently(lambda: self._store.names(prefix))

    def delete(self, path: str) -> None:
        self._patiently(lambda: self._store.delete(path))

    def _patiently(self, act: Callable[[], T]) -> T:
        if self._within is not None:
            return self._within(act)
        with Patience(f"access to {self.url}", self._seconds, self._note) as patience:
            return patience(act)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:g} s"
