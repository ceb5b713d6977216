"""One orchestrator an experiment: whoever dies, is stopped, or meets a clock that jumps."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from gan_core.store import Store
from pipelines import holders
from pipelines.lock import AlreadyRunning, ExperimentLock, Holder, ask_to_cancel, live_holder
from tests.s3_server import s3_server

RUN = "experiments/digits/20261128T000000.000000Z.json"
LEASE_S = 0.3
HOLD = """
import sys, time
from gan_core.store import Store
from pipelines.lock import ExperimentLock
with ExperimentLock.acquire(Store(sys.argv[1]), "digits", run=sys.argv[2]) as lock:
    print(lock.holder.number, flush=True)
    while not lock.lost.wait(0.05):
        pass
    print("lost", flush=True)
"""


@pytest.fixture(autouse=True)
def _short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_LEASE_S", str(LEASE_S))


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server("locks", "secret-of-the-test") as server:
        assert server.url
        yield "s3://locks"


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return Store(tmp_path)
    above = "memory:/" if request.param == "memory" else request.getfixturevalue("bucket")
    return Store(f"{above}/{uuid.uuid4().hex}")


def take(store: Store, on_cancel: Callable[[], None] = lambda: None) -> ExperimentLock:
    return ExperimentLock.acquire(store, "digits", run=RUN, on_cancel=on_cancel)


def lay(store: Store, number: int = 1, **changes: Any) -> Holder:
    """A holder on another host that gives no sign of life."""
    holder = Holder(number=number, run=RUN, host="elsewhere", pid=1, began=1.0, flow_run="", taken="then", boot="other",
                    lease=LEASE_S)
    holder = holder.model_copy(update=changes)
    store.create(f"locks/digits/{number:06d}.json", holder.model_dump_json().encode())
    return holder


def outcome(store: Store) -> ExperimentLock | None:
    try:
        return take(store)
    except AlreadyRunning:
        return None


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.01)


def test_a_second_start_is_refused_while_the_first_runs_and_not_after(store: Store) -> None:
    with take(store) as lock:
        with pytest.raises(AlreadyRunning, match=r"gan runs cancel digits/20261128T000000.000000Z") as refused:
            take(store)
        assert refused.value.holder == lock.holder == live_holder(store, "digits")
        assert f"process {os.getpid()} on {socket.gethostname()} since {lock.holder.taken}" in str(refused.value)
    assert live_holder(store, "digits") is None
    with take(store) as again:
        assert (again.holder.number, again.took_over) == (2, None)


def test_experiments_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with take(Store(tmp_path)), ExperimentLock.acquire(Store(tmp_path), "faces", run=RUN) as other:
        assert other.holder.number == 1


def test_a_silent_holder_of_another_host_is_replaced_after_its_lease(store: Store) -> None:
    dead = lay(store)
    with take(store) as lock:
        assert (lock.took_over, lock.holder.number) == (dead, 2)


def test_a_beating_holder_of_another_host_is_left_alone(store: Store) -> None:
    lay(store)
    over = threading.Event()

    def beat() -> None:
        count = 0
        while not over.wait(LEASE_S / 3):
            count += 1
            store.write("locks/digits/000001.beat.json", str(count).encode())

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        assert outcome(store) is None
    finally:
        over.set()
        beating.join()


def test_a_store_that_was_silent_says_nothing_of_its_holders_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look after an outage finds the old counter: the holder could not write it either."""
    store = Store(tmp_path)
    lay(store)
    answers, read = iter([b"1", b"1", b"1", b"2"]), store.read

    def slow(path: str) -> bytes:
        if not path.endswith("beat.json"):
            return read(path)
        time.sleep(1.2 * LEASE_S)
        return next(answers, b"2")

    monkeypatch.setattr(store, "read", slow)
    assert outcome(store) is None


def test_of_eight_threads_that_want_a_dead_holders_place_one_gets_it(store: Store) -> None:
    lay(store)
    with ThreadPoolExecutor(8) as pool:
        winners = [lock for lock in pool.map(lambda _: outcome(store), range(8)) if lock]
    assert len(winners) == 1
    winners[0].release()


def _try(url: str, start: Any, done: Any, told: Any) -> None:
    start.wait()
    lock = outcome(Store(url))
    told.put(lock is not None)
    done.wait()
    if lock is not None:
        lock.release()


def test_of_eight_processes_that_want_a_dead_holders_place_one_gets_it(tmp_path: Path) -> None:
    lay(Store(tmp_path))
    context = multiprocessing.get_context("fork")
    start, done, told = context.Event(), context.Event(), context.Queue()
    racers = [context.Process(target=_try, args=(str(tmp_path), start, done, told)) for _ in range(8)]
    for racer in racers:
        racer.start()
    start.set()
    won = [told.get(timeout=30) for _ in racers]
    done.set()
    for racer in racers:
        racer.join()
    assert won.count(True) == 1


def test_a_late_writer_of_a_removed_number_does_not_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looked when number 1 was free to follow, and writes number 2 when 2 was had, released and removed."""
    store = Store(tmp_path)
    take(store).release()
    seen = holders.newest(store, "digits")
    for _ in range(3):
        take(store).release()
    with take(store) as current:
        assert not store.exists("locks/digits/000002.json")
        stale = iter([seen])
        monkeypatch.setattr("pipelines.lock.newest", lambda *given: next(stale, None) or holders.newest(*given))
        assert outcome(store) is None
        assert live_holder(store, "digits") == current.holder


def test_few_numbers_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for _ in range(4):
        take(store).release()
    assert {name[:6] for name in store.names("locks/digits")} == {"000003", "000004"}


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of this host that holds the lock of `tmp_path`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), RUN], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_killed_process_of_this_host_is_replaced_at_once(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    store = Store(tmp_path)
    assert outcome(store) is None
    other.kill()  # and not waited for: a zombie is dead
    until(lambda: psutil.Process(other.pid).status() == psutil.STATUS_ZOMBIE)
    watched = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holders, "_beats", lambda *given: watched.append(given))
        with take(store) as lock:
            assert lock.took_over is not None
            assert lock.took_over.pid == other.pid
    assert watched == []


def test_a_stopped_process_sees_that_it_was_replaced(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    store = Store(tmp_path)
    other.send_signal(signal.SIGSTOP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "another")
        lock = take(store)
    other.send_signal(signal.SIGCONT)
    assert other.wait(20) == -signal.SIGTERM
    assert lock.took_over is not None
    assert not lock.lost.is_set()
    lock.release()


def test_a_replaced_holder_is_told_once_and_beats_no_more(store: Store) -> None:
    told: list[str] = []
    with take(store, on_cancel=lambda: told.append("stop")) as lock:
        lay(store, number=2)
        assert lock.lost.wait(20)
    assert told == ["stop"]


def test_whoever_asks_has_the_holder_stop_once(store: Store) -> None:
    told: list[str] = []
    with take(store, on_cancel=lambda: told.append("stop")) as lock:
        ask_to_cancel(store, "digits", lock.holder.number, "a better idea")
        until(lambda: bool(told))
        time.sleep(LEASE_S)
        assert told == ["stop"]
        assert not lock.lost.is_set()


def test_an_outage_longer_than_the_lease_ends_no_holder(bucket: str) -> None:
    store, told = Store(f"{bucket}/{uuid.uuid4().hex}"), []
    with take(store, on_cancel=lambda: told.append("stop")) as lock, pytest.MonkeyPatch.context() as patch:
        until(lambda: store.exists("locks/digits/000001.beat.json"))
        real = Store._tried

        def refuse(self: Store, path: str, act: Callable[[], Any]) -> Any:
            if threading.current_thread().name == "lock":
                raise ConnectionError
            return real(self, path, act)

        patch.setattr(Store, "_tried", refuse)
        time.sleep(2 * LEASE_S)
        stood = store.read("locks/digits/000001.beat.json")
        patch.undo()
        until(lambda: store.read("locks/digits/000001.beat.json") != stood)
        assert not lock.lost.is_set()
        assert live_holder(store, "digits") == lock.holder
    assert told == []


def test_a_clock_that_is_set_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil tells a process's start as a date, which moves with the clock."""
    store, boot, now = Store(tmp_path), psutil._pslinux.boot_time, time.time
    with take(store):
        for jump in (-1e6, 3.0, 1e6):
            monkeypatch.setattr(psutil._psplatform, "boot_time", lambda by=jump: boot() + by)
            monkeypatch.setattr(time, "time", lambda by=jump: now() + by)
            assert _lives_elsewhere(store)
    dead = lay(store, number=2)
    monkeypatch.setattr(time, "time", lambda: now() + 1e6)
    with take(store) as lock:
        assert lock.took_over == dead


def _lives_elsewhere(store: Store) -> bool:
    """Whether another process of this host would find the holder alive."""
    _, holder = holders.newest(store, "digits")
    assert holder is not None
    return holders._same_start(holder, psutil.Process(holder.pid))


def test_a_pid_given_out_anew_is_not_the_holder(tmp_path: Path) -> None:
    store = Store(tmp_path)
    mine = holders.this_process(1, RUN, "")
    dead = lay(store, **{**mine.model_dump(), "pid": os.getppid()})
    with take(store) as lock:
        assert lock.took_over == dead


def test_a_lock_that_could_not_be_released_keeps_its_own_process_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, write = Store(tmp_path), Store.write

    def full(self: Store, path: str, data: bytes) -> None:
        if "released" in path:
            raise OSError("no space left")
        write(self, path, data)

    monkeypatch.setattr(Store, "write", full)
    take(store).release()
    assert "could not be released" in caplog.text
    take(store).release()


def test_taking_a_lock_imports_neither_ray_nor_prefect() -> None:
    code = "import sys, pipelines.lock; print(*{'ray', 'prefect', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
