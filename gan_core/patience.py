"""Trying again through outages of a store, with exponential back-off and full jitter, for a stated time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from threading import Event
from types import TracebackType
from typing import Self, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_attempt,
    stop_all,
    stop_any,
    stop_before_delay,
    stop_when_event_set,
    wait_random_exponential,
)

from gan_core.errors import ConfigError, GanError, Outage, StoreError
from gan_core.outages import reason, transient, what_to_check

PATIENCE, DEFAULT_PATIENCE_S = "GAN_STORE_PATIENCE_S", 60.0
FIRST_WAIT_S = 0.2  # at most, and twice as long after each failure
LONGEST_WAIT_S = 10.0  # between two tries; a store that is back is noticed soon, a struggling one is left alone
T = TypeVar("T")
Note = Callable[[str], None]


def store_patience() -> float:
    """Seconds for which one operation of a store is tried again.  ConfigError when the environment's is no number."""
    text = os.environ.get(PATIENCE) or str(DEFAULT_PATIENCE_S)
    if not text.replace(".", "", 1).isdecimal():
        raise ConfigError(f"{PATIENCE}={text}: not a number of seconds; {PATIENCE}=60 tries for a minute, 0 once")
    return float(text)


def unheard(text: str) -> None:
    """Where nobody listens."""


class Patience:
    """`patience(act)` is act(), tried again while its errors are transient, for `seconds` in all.

    0 seconds are one try.  Otherwise a try that took longer than that by itself is followed by one more.

    what: names the work in notes, as in "upload of checkpoint 10,240".  note: hears of the first failure and, when the
    `with` block ends well after one, of the success.  give_up: once set, a failure is the last.
    Raises Outage with advice when the time is over, and StoreError at once for what a store refused; other OSErrors
    and GanErrors that no patience helps as they come, and what packages raise of their own as StoreError.
    """

    def __init__(self, what: str, seconds: float, note: Note = unheard, give_up: Event | None = None) -> None:
        self.what = what
        self.seconds = seconds
        self._note = note
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
        enough = stop_all(stop_after_attempt(2 if self.seconds else 1), stop_before_delay(self.seconds - self._spent))
        tries = Retrying(
            retry=retry_if_exception(transient),
            wait=wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
            stop=stop_any(enough, stop_when_event_set(self._give_up)),
            sleep=sleep_using_event(self._give_up),
            before_sleep=self._failed,
            reraise=True,
        )
        began, failures = time.monotonic(), self._failures
        try:
            done = tries(act)
        except Exception as error:
            told = self._told(error, time.monotonic() - began)
            if told is None:
                raise
            raise told from error
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

    def _told(self, error: Exception, took: float) -> StoreError | None:
        """What a person should hear of the last error; None when it says so itself."""
        if isinstance(error, GanError):
            return None
        if transient(error):
            waited = f" for {_minutes(self._spent + took)}" if self.seconds else ""
            if self._give_up.is_set():
                waited = " when training ended"
            return Outage(f"{self.what} failed{waited}: {reason(error)}; nothing that was finished is lost: when the "
                          "store answers again, run the same command again")
        check = what_to_check(error)
        if check is None and isinstance(error, OSError):
            return None
        return StoreError(f"{self.what} failed: {reason(error)}; nothing that was finished is lost: "
                          f"{check or 'put it right'}, and run the same command again")


def _minutes(seconds: float) -> str:
    if seconds >= 120:
        return f"{seconds / 60:.0f} minutes"
    return f"{round(seconds, 1 if seconds < 10 else 0):g} s"
