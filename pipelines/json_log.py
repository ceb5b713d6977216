"""Logs that machines read: one JSON line an event on standard error, where GAN_LOG=json.

    {"time": "2026-11-28T19:12:03.482+00:00", "level": "info", "event": "uploaded", "text": "", "experiment": "digits",
     "stage": "train", "stage_key": "0f3c…", "attempt": 2, "rank": 0, "host": "gpu-7", "position": 20480, "seconds": 1}

Workers and the jobs of stages write them; docs/operations.md says what they hold.  Without GAN_LOG nothing here is
used, and lines are as people read them.
"""

from __future__ import annotations

import io
import json
import logging
import math
import os
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

from gan_core.errors import ConfigError
from gan_core.outages import without_secrets

VARIABLE, JSON, PLAIN = "GAN_LOG", "json", "plain"
OURS = "gan: "  # begins what commands say
ENDED = "ended: "  # begins the last thing that is said of a piece of work
PACKAGES = ("gan_core", "pipelines")
LEVELS = ("debug", "info", "warning", "error")


def is_wanted() -> bool:
    """Whether logs are JSON here.  ConfigError where GAN_LOG says neither."""
    asked = os.environ.get(VARIABLE) or PLAIN
    if asked not in (JSON, PLAIN):
        raise ConfigError(f"{VARIABLE}={asked}: is no form of a log; {VARIABLE}={JSON} works, and {VARIABLE}={PLAIN}")
    return asked == JSON


def handed_on() -> dict[str, str]:
    """What the processes of a cluster are told of it."""
    return {VARIABLE: JSON} if is_wanted() else {}


@dataclass
class JsonLog:
    """Lines about one piece of work.  key: of what is made; attempt, rank: None where there are none or unknown yet.

    out: where they go; None for what is standard error at that moment.
    """

    experiment: str
    stage: str
    key: str
    attempt: int | None = None
    rank: int | None = None
    out: TextIO | None = None
    host: str = field(default_factory=socket.gethostname)

    def say(self, event: str, text: str = "", level: str = "info", **more: Any) -> None:
        """One line.  more: numbers of the event, by name."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event,
            "text": without_secrets(text), "experiment": self.experiment, "stage": self.stage, "stage_key": self.key,
            "attempt": self.attempt, "rank": self.rank, "host": self.host,
            **{name: None if isinstance(value, float) and not math.isfinite(value) else value
               for name, value in more.items()},  # JSON has no word for what is not finite
        }
        out = self.out or sys.stderr
        out.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")  # at once: threads and processes share it
        out.flush()

    def failed(self, error: BaseException) -> None:
        """How it ended, with the traceback in the same line."""
        told = "".join(traceback.format_exception(error))
        text = f"{ENDED}{type(error).__name__}: {error}"
        self.say("failed", text, "error", error=type(error).__name__, traceback=without_secrets(told))

    @contextmanager
    def telling(self) -> Iterator[None]:
        """While the block runs, what is said on standard error, and what our modules log, are events too; so are its
        beginning and its end.
        """
        with self.hearing():
            self.say("started")
            try:
                yield
            except BaseException as error:
                self.failed(error)
                raise
            self.say("ended", f"{ENDED}done")

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """The same without the end."""
        before, self.out = sys.stderr, self.out or sys.stderr
        said: Any = _Said(self)
        sys.stderr = said
        handler = _Handler(self)
        for name in PACKAGES:
            logging.getLogger(name).addHandler(handler)
        try:
            yield
        finally:
            for name in PACKAGES:
                logging.getLogger(name).removeHandler(handler)
            sys.stderr = before
            said.close()


class _Handler(logging.Handler):
    """What a module logs, as an event `log`, from warnings on."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        self._log.say("log", record.getMessage(), level if level in LEVELS else "error", logger=record.name)


class _Said(io.TextIOBase):
    """Standard error, each line of it an event `said`."""

    def __init__(self, log: JsonLog) -> None:
        self._log, self._begun, self._lock = log, "", threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.strip():
                self._log.say("said", line.removeprefix(OURS))
        return len(text)

    def fileno(self) -> int:
        """Standard error's own, for processes that are started with it: what they write stays as it is."""
        return (self._log.out or sys.__stderr__ or sys.stderr).fileno()

    def close(self) -> None:
        if self._begun:
            self.write("\n")
        super().close()


def as_plain(line: str) -> str:
    """A line of a log as people read it; of what is no event of ours, the line."""
    if not line.startswith('{"time": '):
        return line
    try:
        told = json.loads(line)
        return f"{OURS}{told['text'] or told['event']}"
    except (ValueError, KeyError, TypeError):
        return line
