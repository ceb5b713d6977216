"""A run's log in its store: what it said on standard error, line by line with the time, and how it ended.

    logs/<experiment>/<time>.txt    beside the records in experiments/<experiment>/<time>.json

It is kept in memory and written whole, as object stores want it.  A store that fails costs the log and never the run.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self, TextIO

from gan_core.outages import without_secrets
from gan_core.store import Store

EVERY_S = 5.0
LIMIT = 2**20  # bytes: half of the first lines, half of the last


def log_path(record: str) -> str:
    """Where the log of the run is that is recorded there."""
    return "logs/" + record.removeprefix("experiments/").removesuffix(".json") + ".txt"


@dataclass
class RunLog:
    """Takes text as a file does; a thread writes it to the store."""

    store: Store
    path: str
    _begun: str = ""  # of a line whose end is to come
    _first: list[bytes] = field(default_factory=list)
    _last: deque[bytes] = field(default_factory=deque)
    _sizes: list[int] = field(default_factory=lambda: [0, 0])  # bytes in first and last
    _left_out: int = 0
    _news: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(default_factory=threading.Thread)

    def write(self, text: str) -> int:
        """Adds text; whole lines are dated."""
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                self._add(f"{datetime.now(UTC):%H:%M:%S} {without_secrets(line)}\n".encode())
        return len(text)

    def flush(self) -> None:
        """The thread does."""

    def error(self, error: BaseException) -> None:
        """The traceback of what nobody expected."""
        self.write("".join(traceback.format_exception(error)))

    def content(self) -> bytes:
        """What is kept: of a long log the first and the last lines, and how much lies between."""
        with self._lock:
            cut = [f"… {self._left_out:,} lines are left out here …\n".encode()] if self._left_out else []
            return b"".join([*self._first, *cut, *self._last])

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._keep, name="log", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """While the block runs, what is said on standard error is kept too."""
        before = sys.stderr
        said: Any = _Both(before, self)
        sys.stderr = said
        try:
            yield
        finally:
            sys.stderr = before

    def _add(self, line: bytes) -> None:
        self._news = True
        part = 0 if not self._last and self._sizes[0] + len(line) <= LIMIT // 2 else 1
        self._sizes[part] += len(line)
        (self._last if part else self._first).append(line)
        while self._sizes[1] > LIMIT // 2:
            self._sizes[1] -= len(self._last.popleft())
            self._left_out += 1

    def _keep(self) -> None:
        over = False
        while not over:
            over = self._over.wait(EVERY_S)
            if self._news:
                self._news = False
                self._news = not self._written() or self._news

    def _written(self) -> bool:
        with suppress(Exception):  # the clients of remote stores have no common class for "not now"
            self.store.once().write(self.path, self.content())
            return True
        return False


class _Both:
    """Standard error, and the log of what is said there.

    Rich's consoles write past it: what they draw moves, and is told to the log as lines.
    """

    def __init__(self, out: TextIO, log: RunLog) -> None:
        self._out, self._log = out, log
        self.rich_proxied_file = getattr(out, "rich_proxied_file", out)

    def write(self, text: str) -> int:
        self._log.write(text)
        return self._out.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._out, name)
