"""One root on any fsspec file system, with the three promises that everything here is built on.

- a written object is whole or absent (local disks: written aside, then renamed);
- `create` makes an object only where there is none, whoever else tries (O_EXCL's promise; `If-None-Match: *` on S3);
- a path never leaves the root.

What a remote store does not answer is asked again for GAN_STORE_PATIENCE_S; then, and at once for what it refuses,
there is one StoreError with advice.  A local disk is asked once, and its errors come as they are.  Credentials
come from the environment alone, so that no store can be pickled, printed or logged with a secret in it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Self, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from gan_core import claims, exclusive
from gan_core.disk import copy_whole, write_aside
from gan_core.errors import ConfigError, StoreError
from gan_core.outages import http_status, reason, transient, what_to_check
from gan_core.patience import Patience, store_patience

DEFAULT_STORE = "./store"
STAGING = ".staging"  # parts of artefacts that are not finished; nothing reads it
CONNECT_S, ANSWER_S = 5.0, 20.0  # that an S3 server may take to accept, and be silent before its next byte
PART = 8 * 2**20  # bytes of a large file that travel in one request, beside others
TAKEN = {409, 412}  # what servers answer who writes only where there is nothing
MARK = "gan-create"  # in an S3 object's metadata: which call of `create` made it

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """An object.  size: bytes.  modified: when it was written, as the store tells."""

    size: int
    modified: datetime


class Store:
    """Objects under one fsspec URL.  A bare path is `file://`.

    ConfigError when the URL's protocol is not known or its package is missing.
    """

    _once = False

    def __init__(self, url: str | Path = DEFAULT_STORE) -> None:
        self.url = _whole_url(str(url))
        if holds_password(self.url):
            raise ConfigError("--store: the URL holds a password, which would be kept with every result; leave it out "
                              "and export the credentials, for S3 as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        self._seconds = store_patience()
        self._fs: Any
        self._fs, self._root = _opened(self.url)
        self.is_local = isinstance(self._fs, LocalFileSystem)

    def __getstate__(self) -> dict[str, Any]:
        """Without the client, whose settings would not all travel."""
        return {name: value for name, value in self.__dict__.items() if name != "_fs"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._fs, _ = _opened(self.url)

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def uri(self, path: str = "") -> str:
        """The full URL of an object or prefix."""
        return f"{self.url}/{_inside(path)}".rstrip("/")

    def local_path(self, path: str) -> Path:
        """Where a local store keeps an object."""
        if not self.is_local:
            raise StoreError(f"{self.uri(path)}: is not on a local disk")
        return Path(self._full(path))

    def once(self) -> Self:
        """The same store for whoever has patience of their own: everything is tried once, and errors come raw."""
        same = object.__new__(type(self))
        same.__dict__.update(self.__dict__, _once=True)
        return same

    def exists(self, path: str) -> bool:
        if self.is_local:
            return bool(self._fs.exists(self._full(path)))
        try:
            self._tried(path, lambda: self._fs.info(self._full(path)))
        except FileNotFoundError:
            return False
        return True

    def read(self, path: str) -> bytes:
        """FileNotFoundError when there is no such object."""
        # s3fs asks for the size first where it may read in parts, and refusals of that have no words
        alone = {"max_concurrency": 1} if _is_s3(self.url) else {}
        return self._tried(path, lambda: bytes(self._fs.cat_file(self._full(path), **alone)))

    def write(self, path: str, data: bytes) -> None:
        """Writes or replaces one whole object.  StoreError when there is no room."""
        self._tried(path, lambda: self._write(path, data))

    def create(self, path: str, data: bytes) -> None:
        """Writes one whole object where there is none.  FileExistsError when there is one, also in a race."""
        if not self.is_local and not self.protocol().exclusive:
            patient = _Patient(self._fs, lambda act: self._tried(path, act))
            claims.create(patient, self._full(path), self._full(f"{claims.FOLDER}/{path}"), _plain(data))
            return
        mark = uuid.uuid4().hex
        self._tried(path, lambda: self._create(path, data, mark))

    def protocol(self) -> exclusive.Verdict:
        """How `create` keeps its promise here; asked of the store once a process."""
        return self._tried("", lambda: exclusive.verdict(self._fs, self._root))

    def put(self, local: Path, path: str) -> None:
        """Uploads one whole file."""
        self._tried(path, lambda: self._put(local, path))

    def get(self, path: str, local: Path) -> None:
        """Downloads one file; `local` is whole or absent."""
        local.parent.mkdir(parents=True, exist_ok=True)
        aside = local.parent / f".{local.name}.{uuid.uuid4().hex}"
        try:
            self._tried(path, lambda: self._fs.get_file(self._full(path), str(aside), **self._parts))
            aside.replace(local)
        finally:
            aside.unlink(missing_ok=True)

    def size(self, path: str) -> int | None:
        """Bytes of one object, asked for by its name; None when there is none.  StoreError when the server is silent
        about it.
        """
        try:
            told = self._tried(path, lambda: self._fs.info(self._full(path)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if told["type"] == "directory":
            return None
        if told["size"] is None:
            raise StoreError(f"{self.uri(path)}: its server does not say how large it is, and what may have any "
                             "size is not fetched; take a copy from elsewhere")
        return int(told["size"])

    def sizes(self, prefix: str) -> dict[str, int]:
        """Every object below a prefix, by path relative to it, with its size in bytes; an object itself as '.'."""
        return {path: int(info["size"]) for path, info in self._found(prefix).items()}

    def entries(self, prefix: str) -> dict[str, Entry]:
        """Every object below a prefix, by path relative to it, with its size and when it was written."""
        return {path: Entry(int(info["size"]), _modified(info)) for path, info in self._found(prefix).items()}

    def abort_uploads(self, older: timedelta, now: datetime) -> int:
        """Removes parts of large files whose upload was begun that long ago and never ended; how many.  S3 alone."""
        if not hasattr(self._fs, "list_multipart_uploads"):
            return 0
        bucket, _, folder = self._root.partition("/")
        begun = [one for one in self._tried("", lambda: self._fs.list_multipart_uploads(bucket))
                 if one["Key"].startswith(folder) and now - one["Initiated"] >= older]
        for one in begun:
            self._fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=one["Key"], UploadId=one["UploadId"])
        return len(begun)

    def names(self, prefix: str) -> list[str]:
        """The names right below a prefix, sorted; empty when there is nothing there."""
        try:
            found = self._tried(prefix, lambda: self._fs.ls(self._full(prefix), detail=False))
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = {PurePosixPath(p).name for p in found if p.rstrip("/") != self._full(prefix)}
        return sorted(n for n in names if not n.startswith("."))

    def delete(self, path: str) -> None:
        """Removes an object, or all below a prefix; nothing happens where there is nothing.

        Raises what the store refused: when it returns, nothing is left that was there before.
        """
        self._tried(path, lambda: self._delete(self._full(path)))

    def staging(self) -> Path:
        """A fresh local directory to build an artefact in; on a local store beside it, so that it can be renamed."""
        made = self._staging_root() / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
        made.mkdir(parents=True)
        return made

    def sweep(self) -> None:
        """Removes what processes of this host that are gone left in staging."""
        for left in self._staging_root().glob("*-*-*"):
            host, pid, _ = left.name.rsplit("-", 2)
            if host == socket.gethostname() and pid.isdigit() and not _alive(int(pid)):
                shutil.rmtree(left, ignore_errors=True)

    def check_writable(self) -> None:
        """ConfigError with advice when nothing can be written here."""
        probe = f"{STAGING}/probe-{uuid.uuid4().hex}"
        try:
            self.write(probe, b"")
            self.delete(probe)
        except Exception as error:  # every file system has its own; all mean the same to the operator
            why = error.__cause__ or error
            if isinstance(error, StoreError) and transient(why):
                raise
            check = what_to_check(why) or "name a directory of yours, or export credentials for the bucket"
            raise ConfigError(f"--store {self.url}: cannot be written: {reason(why)}; {check}") from error

    def _found(self, prefix: str) -> dict[str, dict[str, Any]]:
        """What the file system tells of every object below a prefix, by path relative to it."""
        full = self._full(prefix)
        try:
            found = self._tried(prefix, lambda: self._fs.find(full, detail=True))
        except FileNotFoundError:
            return {}
        return {str(PurePosixPath(path).relative_to(PurePosixPath(full))): info for path, info in found.items()}

    def _tried(self, path: str, act: Callable[[], T]) -> T:
        return act() if self._once else self._patiently(path, act)

    def _patiently(self, path: str, act: Callable[[], T]) -> T:
        if self.is_local:
            return act()
        return Patience(f"access to {self.uri(path)}", self._seconds, note=_log.warning)(act)

    def _write(self, path: str, data: bytes) -> None:
        if self.is_local:
            target = Path(self._full(path))
            os.replace(write_aside(target, data, self.uri(path)), target)  # noqa: PTH105 - what tests make fail
        else:
            self._fs.pipe_file(self._full(path), _plain(data))

    def _create(self, path: str, data: bytes, mark: str) -> None:
        full = self._full(path)
        if self.is_local:
            aside = write_aside(Path(full), data, self.uri(path))
            try:
                os.link(aside, full)  # fails where the target exists; content and all
            finally:
                aside.unlink()
            return
        marked = {"Metadata": {MARK: mark}} if _is_s3(self.url) else {}
        try:
            self._fs.pipe_file(full, _plain(data), mode="create", **marked)
        except OSError as error:
            if not isinstance(error, FileExistsError) and not (http_status(error) in TAKEN and self._fs.exists(full)):
                raise
            # an earlier try of this call may have made it, and its answer been lost; aiohttp repeats such by itself
            if not marked or self._fs.metadata(full).get(MARK) != mark:
                raise FileExistsError(self.uri(path)) from None

    def _put(self, local: Path, path: str) -> None:
        if self.is_local:
            copy_whole(local, Path(self._full(path)))
        else:
            self._fs.put_file(str(local), self._full(path), **self._parts)

    @property
    def _parts(self) -> dict[str, int]:
        return {"chunksize": PART} if _is_s3(self.url) else {}

    def _delete(self, full: str) -> None:
        with contextlib.suppress(FileNotFoundError if self.is_local else OSError):  # some refuse many at once
            self._fs.rm(full, recursive=True)
        if self.is_local:
            return
        for left in self._fs.find(full):  # s3fs deletes many at once and is silent about those refused
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(left)

    def _staging_root(self) -> Path:
        if self.is_local:
            return Path(self._full(STAGING))
        return Path(os.environ.get("TMPDIR") or tempfile.gettempdir()) / f"gan-pipelines-{os.getuid()}"

    def _full(self, path: str) -> str:
        inner = _inside(path)
        return f"{self._root}/{inner}" if inner else str(self._root)


class _Patient:
    """A file system whose every operation is tried as its store tries its own."""

    def __init__(self, fs: Any, tried: Callable[[Callable[[], Any]], Any]) -> None:
        self._fs, self._tried = fs, tried

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = getattr(self._fs, name)
        return lambda *given, **options: self._tried(lambda: operation(*given, **options))


def holds_password(url: str) -> bool:
    """Whether a URL says user:password@host, in any of its parts."""
    return re.search(r"://[^/@:]*:[^/@]+@", url) is not None


def split_url(url: str) -> tuple[str, str]:
    """An object's or prefix's URL as (URL of what is above it, its last name)."""
    above, _, name = _whole_url(url).rstrip("/").rpartition("/")
    return above, name


def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path of the URL on it."""
    options: dict[str, Any] = {}
    if _is_s3(url):
        # a listing remembered from before another process wrote would be a wrong answer
        options = {"use_listings_cache": False, "skip_instance_cache": True, "config_kwargs": {
            "connect_timeout": CONNECT_S, "read_timeout": ANSWER_S, "retries": {"total_max_attempts": 1}}}
    try:
        file_system, root = fsspec.core.url_to_fs(url, **options)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"--store {url}: {error}; ./store and s3://bucket/prefix work") from None
    if options:
        file_system.retries = 1  # five tries of s3fs and five of botocore would make minutes of each of ours
    return file_system, str(root).rstrip("/")


def _is_s3(url: str) -> bool:
    return "s3" in url.split("://")[0]


def _whole_url(url: str) -> str:
    if "://" not in url:
        return f"file://{Path(url).expanduser().absolute()}"  # fsspec takes what follows as it stands, spaces too
    protocol, _, path = url.partition("://")
    return f"{protocol}://{path.rstrip('/')}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _modified(info: Mapping[str, Any]) -> datetime:
    """Each file system has a name of its own for it."""
    told = next(info[name] for name in ("LastModified", "mtime", "created") if name in info)
    return told if isinstance(told, datetime) else datetime.fromtimestamp(told, UTC)


def _plain(data: bytes) -> bytes:
    """What S3's client takes: of Arrow's buffers and other views of memory it is a copy."""
    return data if isinstance(data, bytes | bytearray) else bytes(data)


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if ".." in parts or path.startswith("/") or "\\" in path:
        raise StoreError(f"'{path}' points outside the store; use a relative path without '..'")
    return "/".join(parts)
