"""The end of a command by Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, NoReturn

from gan_core.errors import Interrupted

INTERRUPTED = 128 + signal.SIGINT  # as shells report a command that Ctrl-C ended


class Terminated(KeyboardInterrupt):
    """What SIGTERM raises where SIGINT would raise KeyboardInterrupt."""


def end_interrupted(how_it_goes_on: str, by: KeyboardInterrupt | None = None) -> NoReturn:
    """Says how the command goes on, and ends this process at once: threads may still be at work in it."""
    _end(signal.SIGTERM if isinstance(by, Terminated) else signal.SIGINT, how_it_goes_on)


class Detached(Interrupted):
    """Whoever followed work on another machine left it there, at work: that is what was asked for."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=0)


class StopSignals:
    """While the block runs, the first SIGINT or SIGTERM is remembered and the second ends this process at once.

    advice: what is said then.  In another thread than the main one it hears nothing: Python has signals there alone.
    """

    def __init__(self, how_it_goes_on: str) -> None:
        self.number = 0
        self.advice = how_it_goes_on
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def end_now(self) -> NoReturn:
        """Raises what the signal that was heard would have raised."""
        raise Terminated if self.number == signal.SIGTERM else KeyboardInterrupt

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            _end(number, self.advice)
        self.number = number


def _end(number: int, how_it_goes_on: str) -> NoReturn:
    # a signal may come in the middle of a print, where another print would be an error
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"gan: interrupted; {how_it_goes_on}\n".encode())
    os._exit(128 + number)
