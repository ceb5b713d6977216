"""Local copies of the shards of a remote store: $XDG_CACHE_HOME/gan-pipelines/shards/<digest of the set>/.

A copy is whole or absent, and is checked against its sha256 whenever it is opened.  All copies together stay within
GAN_CACHE_BYTES; those that were used least recently go first, those that this process has open never.  Every change
happens under one lock of the machine, so that any number of processes can share the folder.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from gan_core.disk import no_room
from gan_core.errors import ConfigError, DamagedFile, GanError, Outage, StoreError
from gan_core.manifest import File, Manifest, sha256_of
from gan_core.outages import transient
from gan_core.store import Store

BOUND, DEFAULT_BOUND = "GAN_CACHE_BYTES", 20 * 2**30
THREADS = 8
AT_ONCE = 2 * THREADS  # files fetched under one hold of the lock: other processes' turn comes after that many
SECONDS_BETWEEN_REPORTS = 5.0
INCOMING, LOCK = ".incoming", ".lock"

_log = logging.getLogger(__name__)
_open_here: Counter[Path] = Counter()  # how often this process has each copy open
_counting = threading.RLock()  # an owner may be collected while it is held
_T = TypeVar("_T")
_Item = TypeVar("_Item")


def cache_bound() -> int:
    """Bytes that all copies together may take.  ConfigError when GAN_CACHE_BYTES is not a number of bytes."""
    text = os.environ.get(BOUND) or str(DEFAULT_BOUND)
    if not text.isascii() or not text.isdigit():
        raise ConfigError(f"{BOUND}={text}: not a number of bytes; {BOUND}={DEFAULT_BOUND} is 20 GiB")
    return int(text)


def total(files: Sequence[File]) -> int:
    """The bytes of some files."""
    return sum(file.size for file in files)


def is_whole(path: Path, file: File) -> bool:
    """Whether a file on this machine is what the manifest says."""
    try:
        return path.stat().st_size == file.size and sha256_of(path) == file.sha256
    except FileNotFoundError:
        return False


def in_parallel(work: Callable[[_Item], _T], items: Sequence[_Item]) -> list[_T]:
    """The results of `work`, in the order of the items.  Hashing and network leave Python's lock to others."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, items))


class Cache:
    """The copies of one artefact's files.  ConfigError when the folder for them cannot be made."""

    def __init__(self, store: Store, prefix: str, manifest: Manifest) -> None:
        self._store, self._prefix = store, prefix
        self._root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gan-pipelines" / "shards"
        self._folder = self._root / manifest.digest
        self.bound, self.uri = cache_bound(), store.uri(prefix)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._root / LOCK).touch()
        except OSError as error:
            raise ConfigError(f"{self._folder}: cannot be written: {error.strerror}; "
                              "set XDG_CACHE_HOME to a directory of yours") from None

    def opened(self, files: Sequence[File], open_copy: Callable[[Path], _T]) -> list[_T]:
        """`open_copy` of each file's copy, which is fetched where there is none.  They stay until `let_go`.

        DamagedFile names the first file that is missing from the store or is not what the manifest says; StoreError
        one that cannot be fetched.
        """
        made: list[_T] = []
        wanted = _Wanted(self.uri, files)
        try:
            for start in range(0, len(files), AT_ONCE):
                made += self._opened_at_once(files[start : start + AT_ONCE], open_copy, wanted)
        except BaseException:
            _let_go(self._paths(files[: len(made)]))
            raise
        return made

    def let_go(self, files: Sequence[File]) -> None:
        """Copies that were opened may go; what is mapped of them stays readable."""
        _let_go(self._paths(files))

    def stay_while(self, owner: object, files: Sequence[File]) -> None:
        """The same, once `owner` is gone."""
        weakref.finalize(owner, _let_go, self._paths(files)).atexit = False

    def _opened_at_once(self, files: Sequence[File], open_copy: Callable[[Path], _T], wanted: _Wanted) -> list[_T]:
        sound = in_parallel(self._is_sound, files)
        doubtful = [file for file, good in zip(files, sound, strict=True) if not good]
        paths = self._paths(files)
        with self._locked():
            # another process may have fetched what was not there, and may have removed what was
            gone = [file for file, path in zip(files, paths, strict=True) if not path.exists()]
            fetch = [file for file in files if file in gone or (file in doubtful and not self._is_sound(file))]
            for path in self._paths(fetch):
                path.unlink(missing_ok=True)
            self._make_room(total(fetch), wanted)
            in_parallel(self._fetch, fetch)
            made = [open_copy(path) for path in paths]
            with _counting:
                _open_here.update(paths)
        wanted.came(files, fetched=bool(fetch))
        return made

    def _paths(self, files: Sequence[File]) -> list[Path]:
        return [self._folder / file.path for file in files]

    def _is_sound(self, file: File) -> bool:
        path = self._folder / file.path
        with suppress(FileNotFoundError):  # another process may remove it now
            if is_whole(path, file):
                os.utime(path)  # used now; whatever was used longest ago makes room
                return True
        return False

    def _fetch(self, file: File) -> None:
        """One file into the cache, only when it is what the manifest says."""
        uri = self._store.uri(f"{self._prefix}/{file.path}")
        arrived = self._root / INCOMING / file.path
        try:
            with no_room(str(arrived), arrived.parent):
                self._store.get(f"{self._prefix}/{file.path}", arrived)
        except GanError:
            raise
        except FileNotFoundError:
            raise DamagedFile(f"{uri}: is missing, though its manifest lists it") from None
        except Exception as error:  # every file system has its own; all mean the same to the operator
            kind = Outage if transient(error) else StoreError
            raise kind(f"{uri}: could not be fetched: {type(error).__name__}: {error}; "
                       "run the same command again when the store answers") from error
        if not is_whole(arrived, file):
            raise DamagedFile(f"{uri}: is damaged: its size or sha256 is not its manifest's")
        arrived.replace(self._folder / file.path)

    def _make_room(self, needed: int, wanted: _Wanted) -> None:
        """Removes copies, the least recently used first, until `needed` bytes more are within the bound."""
        if not needed:
            return
        copies = {path: path.stat() for path in self._root.glob("*/*") if path.parent.name != INCOMING}
        ours = {*self._paths(wanted.files)}
        over = sum(stat.st_size for stat in copies.values()) + needed - self.bound
        held = 0  # by other users of this process
        for path, stat in sorted(copies.items(), key=lambda copy: copy[1].st_mtime_ns):
            if path in ours:
                continue
            if _open_here[path] > 0:
                held += stat.st_size
            elif over > 0:
                path.unlink()
                over -= stat.st_size
        if over > 0:
            raise ConfigError(f"{BOUND}={self.bound} leaves no room for the shards of {self.uri} beside those in use; "
                              f"{BOUND}={held + total(wanted.files)} does")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._root / LOCK).open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            shutil.rmtree(self._root / INCOMING, ignore_errors=True)  # of a process that died while it fetched
            self._folder.mkdir(exist_ok=True)
            try:
                yield
            finally:
                shutil.rmtree(self._root / INCOMING, ignore_errors=True)


def _let_go(paths: Sequence[Path]) -> None:
    with _counting:
        _open_here.subtract(paths)


class _Wanted:
    """All the files of one call; says now and then how many of them are here."""

    def __init__(self, uri: str, files: Sequence[File]) -> None:
        self.uri, self.files = uri, files
        self._done = self._bytes = 0
        self._said = time.monotonic()

    def came(self, files: Sequence[File], *, fetched: bool) -> None:
        self._done, self._bytes = self._done + len(files), self._bytes + total(files)
        due = time.monotonic() - self._said >= SECONDS_BETWEEN_REPORTS
        if fetched and (due or self._done == len(self.files)):
            self._said = time.monotonic()
            _log.info("%s: %d of %d shards here, %.2f of %.2f GB", self.uri, self._done, len(self.files),
                      self._bytes / 1e9, total(self.files) / 1e9)
