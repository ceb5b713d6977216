"""What can go wrong on a cluster, done for real to a training run, and what must come of it.

Each takes the lab, raises AssertionError where the run did not survive, and says what the fault cost.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from gan_core.store import Store
from tests.chaos.lab import EVERY, HEAD, Lab, Outcome, kill, position, progress
from tests.system.hosts import bucket_of
from tests.system.training import RUN, Training

Fault = Callable[[Lab], Outcome]


def worker_killed(lab: Lab) -> Outcome:
    """SIGKILL to the worker that writes checkpoints."""
    with lab.training() as training:
        at, begun = position(training), time.monotonic()
        os.kill(lab.lead(training)[1], signal.SIGKILL)
        outcome = lab.came_back(training, at, begun)
        lab.ended_well(training)
        return outcome


def host_off(lab: Lab) -> Outcome:
    """Power cut on the host of that worker; a third host is free."""
    with lab.training() as training:
        at, begun = position(training), time.monotonic()
        lab.hosts.off(lab.lead(training)[0])
        outcome = lab.came_back(training, at, begun)
        lab.ended_well(training)
        return outcome


def cable_5_s(lab: Lab) -> Outcome:
    """Its network cable pulled for 5 s: training stands still and goes on."""
    with lab.training() as training:
        host = lab.lead(training)[0]
        lab.hosts.cut(host)
        begun = time.monotonic()
        time.sleep(5)
        lab.hosts.heal(host)
        had = len(training.checkpoints())
        training.until(lambda: len(training.checkpoints()) > had, "checkpoint after the cable was put back")
        seconds = time.monotonic() - begun
        lab.ended_well(training)
        lost = EVERY if training.positions(2) else 0
        return Outcome(lost, seconds)


def cable_60_s(lab: Lab) -> Outcome:
    """Pulled for 60 s: another host takes over, and the one that comes back must not write."""
    with lab.training() as training:
        at, begun = position(training), time.monotonic()
        host = lab.lead(training)[0]
        lab.hosts.cut(host)
        outcome = lab.came_back(training, at, begun)
        time.sleep(max(0.0, 60 - (time.monotonic() - begun)))
        lab.hosts.heal(host)
        lab.ended_well(training)
        _one_wrote_after_another(training)
        return outcome


def cable_for_ever(lab: Lab) -> Outcome:
    """Never put back."""
    with lab.training() as training:
        at, begun = position(training), time.monotonic()
        lab.hosts.cut(lab.lead(training)[0])
        outcome = lab.came_back(training, at, begun)
        lab.ended_well(training)
        return outcome


def parted_and_writing(lab: Lab) -> Outcome:
    """A single worker's host loses all other hosts and still has the store: it trains on while another takes over."""
    with lab.training(workers=1) as training:
        at, begun = position(training), time.monotonic()
        host = lab.lead(training)[0]
        lab.hosts.part(host)
        outcome = lab.came_back(training, at, begun)
        lab.ended_well(training, 1)
        _one_wrote_after_another(training)
        return outcome


def head_killed(lab: Lab) -> Outcome:
    """Power cut on the head's host, the driver's as well; the cluster is started anew, and the same command."""
    with lab.training() as training:
        at, begun, store = position(training), time.monotonic(), training.store
        lab.hosts.off(HEAD)
        lab.mend()
        with lab.command(store) as again:
            outcome = lab.came_back(again, at, begun)
            lab.ended_well(again)
        _one_wrote_after_another(again)
        return outcome


def driver_killed(lab: Lab) -> Outcome:
    """SIGKILL to the command; the same command again."""
    with lab.training() as training:
        at, begun, store = position(training), time.monotonic(), training.store
        kill(training)
        with lab.command(store) as again:
            outcome = lab.came_back(again, at, begun)
            lab.ended_well(again)
        return outcome


def store_down_60_s(lab: Lab) -> Outcome:
    """The store answers nothing for a minute."""
    return _store_down(lab, 60)


def store_down_15_s(lab: Lab) -> Outcome:
    """The store answers nothing for a quarter of a minute."""
    return _store_down(lab, 15)


def host_joins(lab: Lab) -> Outcome:
    """Elastic training begins on two hosts, and a third joins late.  Its bits are those of no other run."""
    lab.mend()
    lab.leave("host3")
    with bucket_of(lab.hosts) as url, lab.command(Store(url), {"min": 1, "max": 3}, images=10**9) as training:
        training.until(lambda: len(training.checkpoints()) >= 2, "second checkpoint")
        assert training.worlds() == [2]
        begun = time.monotonic()
        lab.hosts.begin_ray("host3")
        training.until(lambda: training.worlds() == [2, 3], "checkpoint of three workers")
        seconds = time.monotonic() - begun
        before = training.positions(1)
        status, said = training.stopped()
        assert status == 143, said
        assert f"gan: training goes on with 3 workers from {before[-1]:,} images" in said, "images are trained again"
        return Outcome(0, seconds)


def slow_host(lab: Lab) -> Outcome:
    """One of two workers stands still for two thirds of the time: it is named, and again when it is well."""
    lab.mend()
    with bucket_of(lab.hosts) as url, lab.command(Store(url), images=10**9, checkpoint_every=12_800) as training:
        training.until(lambda: bool(training.checkpoints()), "checkpoint")
        host, pid = lab.lead(training)
        with _stuttering(pid):
            begun = time.monotonic()
            training.until(lambda: _slow(training) == [host], "name of the host")
            seconds = time.monotonic() - begun
        training.until(lambda: not _slow(training), "word that the host is well")
        status, said = training.stopped()
        assert status == 143, said
        named, well = (line for line in said if line.startswith("gan: worker "))
        assert re.match(rf"gan: worker \d on {host} takes [\d.]+ x as long for a step as the other: ", named), said
        assert re.match(rf"gan: worker \d on {host} is as fast as the other again", well), said
        return Outcome(0, seconds)


def disk_full(lab: Lab) -> Outcome:
    """A store's disk and a temporary folder that are full, in mount namespaces; the same command once there is room."""
    return _by_test("tests/system/test_full_disk.py")


def clock_jumps(lab: Lab) -> Outcome:
    """An hour forward and back, of who holds something, who waits for it, and the store: injected."""
    return _by_test("tests/test_clock_jumps.py")


def _by_test(file: str) -> Outcome:
    begun = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-m", "system or not system", "-p", "no:cacheprovider", file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "passed" in done.stdout.splitlines()[-1]
    assert "skipped" not in done.stdout.splitlines()[-1], done.stdout[-500:]
    return Outcome(0, time.monotonic() - begun)


def _slow(training: Training) -> list[str]:
    """The hosts that the run says are slow now."""
    return [worker["host"] for worker in progress(training).get("slow_workers", ())]


@contextmanager
def _stuttering(pid: int) -> Iterator[None]:
    """The process stands still for two thirds of the time."""
    over = threading.Event()

    def stutter() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.04)
            os.kill(pid, signal.SIGCONT)
            over.wait(0.02)

    thread = threading.Thread(target=stutter)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _store_down(lab: Lab, seconds: float) -> Outcome:
    with lab.training() as training:
        had = len(training.checkpoints())
        lab.store_down(seconds)
        thawed = time.monotonic()
        training.until(lambda: len(training.checkpoints()) > had, "checkpoint after the outage")
        outcome = Outcome(0, time.monotonic() - thawed)
        lab.ended_well(training)
        assert not training.positions(2), "training was started again for an outage"
        return outcome


def _one_wrote_after_another(training: Training) -> None:
    """No checkpoint of an earlier attempt was finished after a later one had begun, but for a request on its way."""
    times = _written(training.store)
    begun = {int(path.rpartition("/")[2].removesuffix(".json")): at for path, at in times.items()
             if path.startswith("attempts/")}
    for path, at in times.items():
        if path.startswith("checkpoints/") and path.endswith("/MANIFEST.json"):
            attempt = int(path.split("/")[1].partition("-")[2])
            late = [other for other, start in begun.items() if other > attempt and at > start + 2]
            assert not late, f"{path} was written after attempt {late[0]} had begun"


def _written(store: Store) -> dict[str, float]:
    """When each file of the run was written, by the store's clock, in seconds."""
    return {path: entry.modified.timestamp() for path, entry in store.entries(RUN).items()}


FAULTS: Mapping[str, tuple[str, Fault]] = MappingProxyType({
    "worker-killed": ("a worker killed", worker_killed),
    "host-off": ("a host's power cut, another is free", host_off),
    "cable-5s": ("a network cable pulled for 5 s", cable_5_s),
    "cable-60s": ("a network cable pulled for 60 s", cable_60_s),
    "cable-for-ever": ("a network cable pulled for ever", cable_for_ever),
    "parted": ("a host parted from the others, not from the store", parted_and_writing),
    "head-killed": ("the head's power cut, the driver's too", head_killed),
    "driver-killed": ("the driver killed", driver_killed),
    "store-60s": ("the store silent for 60 s", store_down_60_s),
    "host-joins": ("a host that joins late, elastic", host_joins),
    "slow-host": ("a host slowed down to a third: named", slow_host),
    "disk-full": ("a full disk: the command again once there is room", disk_full),
    "clock-jumps": ("clocks that jump by an hour, injected", clock_jumps),
})
"""Every fault by its name: in words, and what does it."""
CORE: Mapping[str, Fault] = MappingProxyType({
    "worker-killed": worker_killed, "host-off": host_off, "cable-5s": cable_5_s, "driver-killed": driver_killed,
    "store-15s": store_down_15_s,
})
"""Those that are tried at every change."""
