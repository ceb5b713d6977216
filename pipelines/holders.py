"""Who holds an experiment's lock, and whether that process is alive; the files are described in pipelines.lock."""

from __future__ import annotations

import os
import re
import socket
import time
from contextlib import suppress
from pathlib import Path

import psutil

from gan_core.config import Config
from gan_core.errors import StoreError
from gan_core.published import parsed
from gan_core.store import Store
from pipelines.models import now

LEASE, LEASE_S = "GAN_LEASE_S", 30.0
BEATS, LOOKS = 3, 30  # a lease: of the holder's counter, and of those who wait for it
ATTEMPTS = 100  # lost races in a row after which something else must be wrong
SAME_START_S = 0.02  # of one process, read twice; the kernel counts hundredths
BOOT, NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
NUMBER = re.compile(r"([0-9]{6,9})\.json")

held: set[tuple[str, str, int]] = set()
"""By this process: (store, experiment, number)."""


class Holder(Config):
    """Who has, or had, an experiment's lock.

    run: the path of the run's record in the store.  began: when the process started, in seconds since its machine did.
    flow_run: Prefect's id of the run, or ''.  taken: ISO 8601, for people.  boot: which start of which machine, and
    which of its namespaces, the pid is of; '' where a machine does not tell.  lease: seconds.
    """

    number: int
    run: str
    host: str
    pid: int
    began: float
    flow_run: str
    taken: str
    boot: str = ""
    lease: float = LEASE_S


def newest(store: Store, experiment: str) -> tuple[int, Holder | None]:
    """The highest number that was given out, 0 for none, and its holder unless that has released it."""
    for _ in range(ATTEMPTS):
        names = store.names(folder(experiment))
        number = max(numbers(names), default=0)
        if not number or f"{number:06d}.released.json" in names:
            return number, None
        file = path(experiment, number)
        with suppress(FileNotFoundError):  # it came too late and was withdrawn, or is removed by now
            return number, parsed(Holder, store.read(file), store.uri(file))
    raise StoreError(f"{store.uri(folder(experiment))}: what is listed cannot be read; see who removes it there")


def lives(store: Store, experiment: str, holder: Holder) -> bool:
    """Whether a holder is alive; takes up to a lease for one of another host."""
    if not holder.boot or (holder.host, holder.boot) != (socket.gethostname(), _boot()):
        return _beats(store, experiment, holder)
    if holder.pid == os.getpid() and _same_start(holder, psutil.Process()):
        return (store.url, experiment, holder.number) in held
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(holder.pid)
        return process.status() != psutil.STATUS_ZOMBIE and _same_start(holder, process)
    return False


def _beats(store: Store, experiment: str, holder: Holder) -> bool:
    """Whether the holder's counter moves within a lease of this machine's monotonic clock."""
    first, since = _count(store, experiment, holder), time.monotonic()
    while True:
        time.sleep(holder.lease / LOOKS)
        asked = time.monotonic()
        if _count(store, experiment, holder) != first:
            return True
        if time.monotonic() - asked > holder.lease / BEATS:
            since = time.monotonic()  # the store was silent, for the holder too: its time begins anew
        elif asked - since >= holder.lease:
            return False


def _count(store: Store, experiment: str, holder: Holder) -> bytes:
    try:
        return store.read(path(experiment, holder.number, "beat"))
    except FileNotFoundError:  # before its first
        return b""


def is_released(store: Store, experiment: str, number: int) -> bool:
    return store.exists(path(experiment, number, "released"))


def this_process(number: int, run: str, flow_run: str) -> Holder:
    """This process as a holder."""
    return Holder(
        number=number,
        run=run,
        host=socket.gethostname(),
        pid=os.getpid(),
        began=_began(psutil.Process()),
        flow_run=flow_run,
        taken=now(),
        boot=_boot(),
        lease=float(os.environ.get(LEASE) or LEASE_S),
    )


def _began(process: psutil.Process) -> float:
    """Seconds from the machine's start to the process's: when the clock is set, both move in the dates psutil tells."""
    return float(process.create_time() - psutil.boot_time())


def _same_start(holder: Holder, process: psutil.Process) -> bool:
    return abs(_began(process) - holder.began) < SAME_START_S


def _boot() -> str:
    """Containers share the host's start, and sometimes its name, but a pid in one means nothing in another."""
    try:
        return f"{BOOT.read_text().strip()} {NAMESPACE.readlink()}"
    except OSError:
        return ""


def folder(experiment: str) -> str:
    """Where the lock's files are."""
    return f"locks/{experiment}"


def path(experiment: str, number: int, kind: str = "") -> str:
    """kind: beat, cancel or released; '' for the holder itself."""
    return f"{folder(experiment)}/{number:06d}{kind and f'.{kind}'}.json"


def numbers(names: list[str]) -> list[int]:
    """The holders among the files of a lock, lowest number first."""
    return sorted(int(match[1]) for name in names if (match := NUMBER.fullmatch(name)))
