"""Stopping a run from outside, and what it says meanwhile: through a store, and by signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gan_core.store import Store
from gan_core.train.report import Command
from pipelines import stop
from pipelines.messages import Messages
from pipelines.stop import Orders, ask_to_stop

RUN = "runs/r"


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "LOOK_S", 0.01)


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it holds within ten seconds."""
    deadline = time.monotonic() + 10
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.005)
    return holds()


class Unsteady(Store):
    """A store that does not answer the first times it is asked."""

    silent = 3

    def exists(self, path: str) -> bool:
        self.silent -= 1
        if self.silent >= 0:
            raise ConnectionError("no answer")
        return super().exists(path)


def test_rank_0_hears_of_a_stop_that_another_process_asked_for(tmp_path: Path) -> None:
    with Orders(Unsteady(tmp_path), RUN, "this") as orders:
        assert orders.command() is Command.CONTINUE
        ask_to_stop(Store(tmp_path), RUN, "this", "SIGTERM")
        assert soon(lambda: orders.command() is Command.STOP)
        assert orders.command() is Command.STOP


def test_a_stop_of_another_start_is_not_for_this_one(tmp_path: Path) -> None:
    asked: list[str | None] = []

    def looked() -> None:
        asked.append(None)

    ask_to_stop(Store(tmp_path), RUN, "an earlier one", "SIGTERM")
    with Orders(Store(tmp_path), RUN, "this", looked) as orders:
        assert soon(lambda: len(asked) > 2)
        assert orders.command() is Command.CONTINUE


def test_a_notice_that_stays_makes_one_checkpoint_and_says_why(tmp_path: Path) -> None:
    commands = []
    with Orders(Store(tmp_path), RUN, "this", lambda: "the node goes") as orders:
        assert soon(lambda: commands.append(orders.command()) or Command.CHECKPOINT in commands)
        commands += [orders.command() for _ in range(100)]
        orders.want_checkpoint()
        assert orders.command() is Command.CHECKPOINT
    assert commands.count(Command.CHECKPOINT) == 1
    assert Messages(Store(tmp_path), RUN, "this").new() == ["the node goes: a checkpoint is made now"]


def test_what_is_said_last_is_heard_too(tmp_path: Path) -> None:
    heard = Messages(Store(tmp_path), RUN, "this")
    with Orders(Store(tmp_path), RUN, "this") as orders:
        orders.say("first")
        orders.say("second")
    assert heard.new() == ["first", "second"]
    heard.say("third")
    assert heard.new() == ["third"]
    assert heard.new() == []


def test_a_store_that_takes_no_line_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    messages = Messages(Store(tmp_path / "file"), RUN, "this")
    messages.say("lost")
    assert messages.new() == []


SIGNALLED = """
import os, signal, sys
from pipelines.interrupt import StopSignals
before = signal.getsignal(signal.SIGINT)
with StopSignals("the same command goes on") as signals:
    os.kill(os.getpid(), signal.Signals[sys.argv[1]])
    print(signals.number, flush=True)
    if len(sys.argv) > 2:
        os.kill(os.getpid(), signal.Signals[sys.argv[2]])
assert signal.getsignal(signal.SIGINT) is before
try:
    signals.end_now()
except KeyboardInterrupt as error:
    print(type(error).__name__)
"""


def signalled(*names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SIGNALLED, *names], capture_output=True, text=True)


def test_the_first_signal_is_remembered() -> None:
    for name, raised in (("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "Terminated")):
        done = signalled(name)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [str(int(signal.Signals[name])), raised]


def test_the_second_signal_ends_the_process_at_once() -> None:
    for name, status in (("SIGINT", 130), ("SIGTERM", 143)):
        done = signalled("SIGINT", name)
        assert done.returncode == status
        assert done.stderr == "gan: interrupted; the same command goes on\n"
