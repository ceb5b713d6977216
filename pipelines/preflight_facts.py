"""What a node of a cluster says of itself to whoever is about to start a run there: one small Ray task.

It imports no torch, which would cost seconds: versions come from the packages' own metadata, GPUs from nvidia-smi.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Thread
from typing import Any

import psutil

from gan_core.config import Config
from gan_core.outages import reason
from gan_core.store import Store
from pipelines.autoscaler import NodeTypes, node_types_here
from pipelines.network import names

PACKAGES = ("ray", "torch", "gan-pipelines")
MISSING = "missing"
IMAGE = "GAN_IMAGE"  # names the image that a container was made from; nothing else inside it does
GPU_S, STORE_S, NAME_S = 5.0, 8.0, 2.0
SPILLING = "--fallback_directory="
SHM = Path("/dev/shm")
CONTAINER = re.compile(r"/(?:containers|sandboxes)/([0-9a-f]{12})[0-9a-f]{52}/")


class Room(Config):
    """A folder's disk.  device: the same for folders on one disk.  free: bytes."""

    folder: str
    device: int
    free: int


class Facts(Config):
    """versions: by package, Python's included.  code: a digest of the sources of this program.  image: what GAN_IMAGE
    says, else the id of the container; '' outside of one.  gpus: name and compute capability of each.  driver: of CUDA.
    disks: by what is kept there.  shm: bytes of shared memory in all.  store: what is wrong with it; '' when nothing.
    store_s: seconds that the trial of the store took.  name_s: that the name of another node's address took, at most
    NAME_S.  interfaces: of its network.  types: what an autoscaler may start, where this node has it.
    """

    host: str
    versions: dict[str, str]
    code: str
    image: str
    gpus: tuple[str, ...]
    driver: str
    disks: dict[str, Room]
    shm: int
    store: str
    store_s: float
    name_s: float
    interfaces: tuple[str, ...]
    types: NodeTypes | None


def facts_here(
    url: str, prefix: str, name: str, has_gpus: bool, is_head: bool, other: str
) -> dict[str, Any]:
    """Of this node, as plain values: a node with another version of this program has another `Facts`.

    url: of the store, tried below `prefix`, where whoever asks has put MARKER; '' leaves it out.  name: what this node
    calls its own object there.  other: the address of another node.
    """
    begun = time.monotonic()
    wrong = _in_time(lambda: tried(Store(url), prefix, name)) if url else ""
    store_s = time.monotonic() - begun
    gpus, driver = _gpus() if has_gpus else ((), "")
    return Facts(
        host=platform.node(), versions=versions(), code=code_digest(), image=os.environ.get(IMAGE) or _container(),
        gpus=gpus, driver=driver, disks=_disks(url), shm=_bytes_of(SHM), store=wrong, store_s=store_s,
        name_s=_name_of(other), interfaces=names(), types=node_types_here() if is_head else None,
    ).model_dump(mode="json")


def now() -> float:
    """By this node's clock, in seconds since 1970."""
    return time.time()


def versions() -> dict[str, str]:
    """Of what must be the same on all nodes."""
    return {"Python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


@cache
def code_digest() -> str:
    """12 characters that are the same wherever this program has the same sources, packaged or in a checkout."""
    digest = hashlib.sha256()
    root = Path(__file__).parent.parent
    for file in sorted(path for package in ("gan_core", "pipelines") for path in (root / package).rglob("*.py")):
        digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


MARKER = "marker"


def tried(store: Store, prefix: str, name: str) -> str:
    """What is wrong with a store as it is seen from here, in one line without secrets; '' when nothing.

    Reads what the command wrote; creates an object where there is none, is refused to create it again, reads it, and
    removes it.
    """
    store, own = store.once(), f"{prefix}/{name}"
    try:
        if store.read(f"{prefix}/{MARKER}") != prefix.encode():
            return f"{store.url} is another store here"
        store.create(own, b"first")
        if store.protocol().exclusive and not _refuses(store, own):
            return f"{store.url} let an object be created twice"
        if store.read(own) != b"first":
            return f"{store.url} gave back other bytes than were written"
        store.delete(own)
    except FileNotFoundError:
        return f"{store.url} is another store here: what this command wrote there is not to be found"
    except Exception as error:  # every file system has its own
        return f"{store.url}: {reason(error)}"
    return ""


def _refuses(store: Store, path: str) -> bool:
    try:
        store.create(path, b"second")
    except FileExistsError:
        return True
    return False


def _in_time(act: Callable[[], str]) -> str:
    """What `act` says, or that it took too long; a client may wait for a silent server for minutes."""
    said: list[str] = []
    thread = Thread(target=lambda: said.append(_said(act)), daemon=True)
    thread.start()
    thread.join(STORE_S)
    return said[0] if said else f"the store does not answer within {STORE_S:g} s"


def _name_of(address: str) -> float:
    """Seconds until its name is found, or that there is none; at most NAME_S."""
    begun = time.monotonic()
    thread = Thread(target=lambda: _said(lambda: socket.getnameinfo((address, 0), 0)[0]), daemon=True)
    thread.start()
    thread.join(NAME_S)
    return min(NAME_S, time.monotonic() - begun)


def _said(act: Callable[[], str]) -> str:
    try:
        return act()
    except Exception as error:  # a URL that this node cannot open, as for want of a package
        return reason(error)


def _gpus() -> tuple[tuple[str, ...], str]:
    """Each GPU with its compute capability, and the driver's version; nothing where nvidia-smi does not say."""
    command = ["nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GPU_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return (), ""
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.count(",") == 2]
    return tuple(f"{name} ({capability})" for name, capability, _ in rows), rows[0][2] if rows else ""


def _disks(url: str) -> dict[str, Room]:
    folders = {"TMPDIR": Path(tempfile.gettempdir())}
    with suppress(StopIteration, psutil.Error):  # a Ray that names it otherwise
        folders["spilling"] = _spilled_to()
    if url and not Store(url).is_local:
        cache_home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        folders["shards"] = cache_home / "gan-pipelines"
    return {name: _room(folder) for name, folder in folders.items()}


def _spilled_to() -> Path:
    """Where Ray puts objects that memory has no room for, as the raylet that started this process was told."""
    words = psutil.Process(os.getppid()).cmdline()
    return Path(next(word.removeprefix(SPILLING) for word in words if word.startswith(SPILLING)))


def _room(folder: Path) -> Room:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return Room(folder=str(folder), device=there.stat().st_dev, free=shutil.disk_usage(there).free)


def _bytes_of(folder: Path) -> int:
    return shutil.disk_usage(folder).total if folder.exists() else 0


def _container() -> str:
    """The first 12 characters of the id of the container that this is in; '' outside of one."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text()
    except OSError:
        return ""
    found = CONTAINER.search(mounts)
    return f"container {found[1]}" if found else ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return MISSING
