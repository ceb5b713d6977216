"""Creating an object where there is none, at a store that cannot do so by itself: by claims.

For stores that ignore or refuse `If-None-Match`, and only for them: each creation takes seconds.  To create P, a writer

    1. writes its content as a claim, an object of a name that nobody else has, beside those of others who want P
    2. waits until any claim that was begun before its own listing can be seen
    3. lists the claims.  The one that the server dated earliest has won, of equals the one of the lowest name
    4. writes P where it won, and removes its claim; otherwise it waits for P, and has lost

A winner that died in between leaves its claim.  Once that is older than the lease, whoever waits writes P with the
claim's own content: to pass a slow winner over instead would let two contents of P follow each other, should it go on.

What it assumes: a write is whole or absent, listings are complete (what was written before is there), the server's
clocks differ by less than a second, and a winner writes P within the settling time or at least its rivals' claims
were dated after its own.  No clock of a writer is compared with another's.  A claim that took longer than half the
settling time is withdrawn and written anew, for somebody may have listed without it.  All writers of a store must use
this protocol: beside a writer that uses exclusive create it promises nothing.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gan_core.errors import StoreError

FOLDER = ".claims"  # below a store's root: claims beside P would show in the listings of versions and aliases
MODIFIED = ("LastModified", "last_modified", "mtime", "updated", "created")  # each file system has its own name for it
ATTEMPTS = 5


@dataclass(frozen=True)
class Timing:
    """Seconds.  settle: from a claim to the listing.  lease: how old a claim may be without P.  poll: between looks."""

    settle: float = 2.0
    lease: float = 30.0
    poll: float = 0.5


TIMING = Timing()


@dataclass(frozen=True, order=True)
class Claim:
    """In the order in which claims win.  modified: by the server's clock."""

    modified: datetime
    name: str


def create(fs: Any, path: str, folder: str, data: bytes) -> None:
    """Writes a whole object where there is none.

    fs: an fsspec file system.  path: the object.  folder: where claims to it are kept, and nothing else.
    FileExistsError when there is one, also in a race; the object can then be read.  StoreError when the store is too
    slow for claims.
    """
    if fs.exists(path):
        raise FileExistsError(path)
    name = _claimed(fs, folder, data)
    written = time.monotonic()
    try:
        time.sleep(TIMING.settle)
        while not _first_of_all(fs, path, folder, name, written):
            time.sleep(TIMING.poll)
    except BaseException:
        _withdraw(fs, f"{folder}/{name}")
        raise
    fs.pipe_file(path, data)  # where this fails the claim stays: the write may still arrive
    _withdraw(fs, f"{folder}/{name}")


def _claimed(fs: Any, folder: str, data: bytes) -> str:
    """The name of a claim that was written fast enough for everyone's listing to have it."""
    for _ in range(ATTEMPTS):
        name, begun = uuid.uuid4().hex, time.monotonic()
        try:
            fs.pipe_file(f"{folder}/{name}", data)
        except BaseException:
            _withdraw(fs, f"{folder}/{name}")
            raise
        took = time.monotonic() - begun
        if took <= TIMING.settle / 2:
            return name
        _withdraw(fs, f"{folder}/{name}")
    raise StoreError(f"{folder}: the last of {ATTEMPTS} claims took {took:.1f} s to write, and {TIMING.settle / 2:g} s "
                     "is the most with which two writers cannot both win; try again when the store is less busy")


def _first_of_all(fs: Any, path: str, folder: str, name: str, written: float) -> bool:
    """Whether this claim has won; FileExistsError when the object is there, False when that is not known yet.

    written: when this claim was, by time.monotonic.
    """
    claims = _claims(fs, folder)
    if fs.exists(path):  # after the listing: a winner's claim goes when its object is there
        raise FileExistsError(path)
    mine = next((claim for claim in claims if claim.name == name), None)
    if mine is None:  # somebody found it without its object, finished it, and the object was removed since
        raise FileExistsError(path)
    first = min(claims)
    if first == mine:
        return True
    age = (mine.modified - first.modified).total_seconds() + time.monotonic() - written
    if age > TIMING.lease:
        _finish(fs, path, f"{folder}/{first.name}")
    return False


def _finish(fs: Any, path: str, claim: str) -> None:
    """Writes the object of a writer that died."""
    with contextlib.suppress(FileNotFoundError):  # it goes on, or another finished it
        fs.pipe_file(path, fs.cat_file(claim))
        _withdraw(fs, claim)


def _claims(fs: Any, folder: str) -> list[Claim]:
    try:
        listed = fs.ls(folder, detail=True)
    except FileNotFoundError:
        return []
    return [Claim(_modified(info), info["name"].rpartition("/")[2]) for info in listed if info["type"] == "file"]


def _modified(info: Mapping[str, Any]) -> datetime:
    told = next(info[name] for name in MODIFIED if info.get(name) is not None)
    return told if isinstance(told, datetime) else datetime.fromtimestamp(told, UTC)


def _withdraw(fs: Any, claim: str) -> None:
    """A claim that cannot be removed is finished by whoever meets it after the lease."""
    with contextlib.suppress(OSError, StoreError):
        fs.rm_file(claim)
