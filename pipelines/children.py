"""Processes of ours that are followed by what they say, and told to stop when this one is."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Any

OURS = "gan: "  # before what the command itself says
KEPT = 40  # last lines of a child, of which some may say why it failed


@dataclass(frozen=True)
class Child:
    """One that has ended.  out: its standard output.  error: what it ended with, in its own words."""

    status: int
    out: str
    error: str


@dataclass
class Children:
    """While the block runs, SIGINT and SIGTERM go to every child, which ends after a checkpoint; a second one ends it
    at once.

    signal: the first that came; 0 for none.
    """

    signal: int = 0
    _running: list[subprocess.Popen[str]] = field(default_factory=list)
    _before: dict[int, Any] = field(default_factory=dict)

    def __enter__(self) -> Children:
        self._before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, command: Sequence[str], heard: Callable[[str], None], environment: Mapping[str, str]) -> Child:
        """Runs a command to its end; `heard` is told each line of its standard error."""
        last: deque[str] = deque(maxlen=KEPT)
        with tempfile.TemporaryFile("w+") as out, subprocess.Popen(
            command, stdout=out, stderr=subprocess.PIPE, text=True, errors="replace", env=environment,
            start_new_session=True,  # Ctrl-C comes from here, once, whatever the terminal does
        ) as process:
            self._running.append(process)
            if self.signal:  # it came while the process was made
                _tell(process, self.signal)
            assert process.stderr is not None
            for line in process.stderr:
                last.append(line.rstrip("\n"))
                heard(last[-1])
            status = process.wait()
            self._running.remove(process)
            out.seek(0)
            return Child(status, out.read(), _error(last))

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or number
        for process in list(self._running):
            _tell(process, number)


def _tell(process: subprocess.Popen[str], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _error(lines: Sequence[str]) -> str:
    """What `gan` said as it ended, which may be several lines; else the last thing that was said at all."""
    latest = itertools.dropwhile(lambda line: not line.startswith(OURS), reversed(lines))
    said = [line.removeprefix(OURS) for line in itertools.takewhile(lambda line: line.startswith(OURS), latest)]
    return "\n".join(reversed(said)) if said else next((line for line in reversed(lines) if line.strip()), "")
