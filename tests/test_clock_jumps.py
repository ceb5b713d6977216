"""Clocks that jump by an hour, of whoever holds something, of whoever waits for it, or of the store."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from gan_core import claims
from gan_core.claims import Timing, create
from gan_core.store import Store
from gan_core.train.slow import SlowWorkers
from pipelines import holders
from pipelines.lock import AlreadyRunning, ExperimentLock
from pipelines.messages import Messages

HOUR_S = 3600.0
RUN = "experiments/digits/20261128T000000.000000Z.json"
LEASE_S = 0.6
HOLDER = """
import sys, time
from gan_core.store import Store
from pipelines import holders
from pipelines.lock import ExperimentLock
jump, real = float(sys.argv[3]), time.time
with ExperimentLock.acquire(Store(sys.argv[1]), "digits", run=sys.argv[2]) as lock:
    time.time = lambda: real() + jump
    holders.now = lambda: "another time"
    print("jumped", flush=True)
    lock.lost.wait()
"""


@pytest.fixture(params=[HOUR_S, -HOUR_S], ids=["ahead", "back"])
def jump(request: pytest.FixtureRequest) -> float:
    """Seconds."""
    return float(request.param)


@pytest.fixture
def holder(tmp_path: Path, jump: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A process with the lock of `tmp_path`, whose clock has jumped; this one's host is another from here on."""
    monkeypatch.setenv("GAN_LEASE_S", str(LEASE_S))
    command = [sys.executable, "-c", HOLDER, str(tmp_path), RUN, str(jump)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "jumped\n"
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def jumping(monkeypatch: pytest.MonkeyPatch, by: float) -> None:
    """From the second question on, this process's clock is another, time and again."""
    real, asked = time.time, [0]

    def now() -> float:
        asked[0] += 1
        return real() + (by if asked[0] % 2 else 0)

    monkeypatch.setattr(time, "time", now)


def test_a_lock_is_not_taken_from_a_live_holder_whosever_clock_jumps(
    tmp_path: Path, holder: subprocess.Popen[str], jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumping(monkeypatch, -jump)
    with pytest.raises(AlreadyRunning, match=f"by process {holder.pid} "):
        ExperimentLock.acquire(Store(tmp_path), "digits", run=RUN)
    assert holder.poll() is None


def test_a_dead_holder_keeps_no_lock_whosever_clock_jumped(
    tmp_path: Path, holder: subprocess.Popen[str], jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = tmp_path / "locks/digits/000001.beat.json"
    while not beat.exists():
        time.sleep(0.01)
    os.kill(holder.pid, signal.SIGKILL)
    date = time.time() + jump
    os.utime(beat, (date, date))  # as the store's own clock might have dated it
    jumping(monkeypatch, -jump)
    with ExperimentLock.acquire(Store(tmp_path), "digits", run=RUN, on_cancel=lambda: None) as lock:
        assert lock.took_over is not None


def test_a_holder_of_this_host_is_known_by_its_process_whatever_the_clock_says(
    tmp_path: Path, holder: subprocess.Popen[str], jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    jumping(monkeypatch, jump)
    _, held = holders.newest(Store(tmp_path), "digits")
    assert held is not None
    assert holders.lives(Store(tmp_path), "digits", held)
    holder.kill()
    holder.wait()
    assert not holders.lives(Store(tmp_path), "digits", held)


def test_where_the_stores_clock_jumps_between_two_claims_one_content_is_created(
    jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other writer has died after its claim: it has created what it claimed, or nothing, and nobody waits on."""
    monkeypatch.setattr(claims, "TIMING", Timing(settle=0.05, lease=0.2, poll=0.02))
    fs, at = MemoryFileSystem(), "/jumped"
    try:
        fs.pipe_file(f"{at}/.claims/P/other", b"other's")
        fs.store[f"{at}/.claims/P/other"].created = datetime.now(UTC) - timedelta(seconds=jump)
        if jump > 0:
            with pytest.raises(FileExistsError):
                create(fs, f"{at}/P", f"{at}/.claims/P", b"mine")
        else:
            create(fs, f"{at}/P", f"{at}/.claims/P", b"mine")
        assert fs.cat_file(f"{at}/P") == (b"other's" if jump > 0 else b"mine")
    finally:
        fs.rm(at, recursive=True)


def test_a_line_that_was_left_before_the_clock_went_back_and_one_after_are_both_heard_once(
    tmp_path: Path, jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, heard, real = Messages(Store(tmp_path), "runs/r", "f"), Messages(Store(tmp_path), "runs/r", "f"), time.time_ns
    said.say("before")
    assert heard.new() == ["before"]
    monkeypatch.setattr(time, "time_ns", lambda: real() + int(jump * 1e9))
    said.say("after")
    assert heard.new() == ["after"]
    assert heard.new() == []


def test_slow_workers_are_judged_by_a_clock_that_only_grows(jump: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: pytest.fail("asked for the date"))
    judge = SlowWorkers(["a", "b"], [32, 32], 64)
    judge.hear([(1.0, 10), (1.0, 10)], 640)
    assert judge.hear([(1.0, 10), (9.0, 10)], 1280) == []
