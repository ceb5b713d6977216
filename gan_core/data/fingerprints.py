"""What a data set's files hold, by a digest, without reading again what was read before.

An object store names the content of its objects (ETag), and a zip that of its members (CRC): the listing is the
fingerprint.  Of other files it is the sha256 of their bytes, read once and kept in a store under what was listed then:

    fingerprints/<digest of the URL and of path, size and times of every file>.json

so that two copies of the same bytes have one fingerprint, and an unchanged set costs a listing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass

from pydantic import ValidationError

from gan_core.config import Config
from gan_core.data.files import NAMED, FileFacts, Files, listing_digest
from gan_core.errors import StoreError
from gan_core.store import Store

FOLDER = "fingerprints"
SETTLED_NS = 2 * 10**9  # a file changed later than this before it was read may change again at the same recorded time
READERS = 8  # files read beside each other
AT_ONCE = 1_000  # files that wait for a reader
CHUNK = 2**20
WORTH_SAYING = 2**30  # bytes


class Known(Config):
    """What a listing was found to hold.  content: the digest of the bytes.  fingerprint: what it goes by."""

    content: str
    fingerprint: str


@dataclass(frozen=True)
class _Memory:
    store: Store
    verify: bool
    note: Callable[[str], None] | None


_memory: ContextVar[_Memory | None] = ContextVar("fingerprints", default=None)


@contextmanager
def remembered(store: Store, *, verify: bool = False, note: Callable[[str], None] | None = None) -> Iterator[None]:
    """In the block, fingerprints are looked up in a store, and kept there.

    verify: every byte is read all the same, and what is found replaces what was kept.  note: is told before much is
    read.
    """
    token = _memory.set(_Memory(store, verify, note))
    try:
        yield
    finally:
        _memory.reset(token)


def joint_fingerprint(sets: Iterable[Files]) -> str:
    """One digest of several sets of files, in their order."""
    return hashlib.sha256("".join(map(fingerprint, sets)).encode()).hexdigest()


def fingerprint(files: Files, only: Collection[str] | None = None) -> str:
    """A digest that changes when the files do, in name or content, and not when they are copied or touched.

    only: the paths that count; all when None.  DataError for what cannot be listed or read.
    """
    memory, listed = _memory.get(), _listed(files, only)
    listing, named = listing_digest(listed), all(file.changed == NAMED for file in listed)
    path = f"{FOLDER}/{hashlib.sha256(f'{files.url} {listing}'.encode()).hexdigest()}.json"
    known = None if memory is None else _known(memory.store, path)
    if memory is None or not memory.verify:
        if known is not None:
            return known.fingerprint
        if named:
            return listing
    _say(memory, files, listed)
    began = time.time_ns()
    content = _content(files, listed)
    found = Known(content=content, fingerprint=_goes_by(listing, content, known) if named else content)
    if memory is not None:
        sound = named or all(began - file.changed > SETTLED_NS for file in listed)
        _keep(memory.store, path, found if sound and _listed(files, only) == listed else None)
    return found.fingerprint


def _goes_by(listing: str, content: str, known: Known | None) -> str:
    """The fingerprint of named content: its names, unless they once named other bytes."""
    if known is None:
        return listing
    if known.content == content:
        return known.fingerprint
    return hashlib.sha256(f"{listing} {content}".encode()).hexdigest()


def _listed(files: Files, only: Collection[str] | None) -> list[FileFacts]:
    return [file for file in files.list() if only is None or file.path in only]


def _content(files: Files, listed: Sequence[FileFacts]) -> str:
    """A digest over path, size and sha256 of every file."""
    digest = hashlib.sha256()
    # members of one archive are read through one handle, which has one place in it
    with ThreadPoolExecutor(1 if "::" in files.url else READERS) as readers:
        for some in (listed[at : at + AT_ONCE] for at in range(0, len(listed), AT_ONCE)):
            for file, sha in zip(some, readers.map(lambda file: _sha256(files, file.path), some), strict=True):
                digest.update(f"{file.path}\0{file.size}\0{sha}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _sha256(files: Files, path: str) -> str:
    digest = hashlib.sha256()
    with files.open(path) as handle:
        while data := handle.read(CHUNK):
            digest.update(data)
    return digest.hexdigest()


def _say(memory: _Memory | None, files: Files, listed: Sequence[FileFacts]) -> None:
    size = sum(file.size for file in listed)
    if memory is not None and memory.note is not None and size > WORTH_SAYING:
        memory.note(f"reading {size / 2**30:,.1f} GiB of {files.url} to know what it holds")


def _known(store: Store, path: str) -> Known | None:
    try:
        return Known.model_validate_json(store.read(path))
    except (FileNotFoundError, ValidationError):
        return None


def _keep(store: Store, path: str, found: Known | None) -> None:
    """A plan may look at a store that it cannot write to; it reads again next time."""
    with suppress(OSError, StoreError):
        if found is None:
            store.delete(path)
        else:
            store.write(path, found.model_dump_json().encode())
