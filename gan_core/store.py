"""One root on any fsspec file system, with the three promises that everything here is built on.

- a written object is whole or absent (local disks: written aside, then renamed);
- `create` makes an object only where there is none, whoever else tries (O_EXCL's promise; `If-None-Match: *` on S3);
- a path never leaves the root.

Credentials come from the environment alone, so that no store can be pickled, printed or logged with a secret in it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from gan_core import claims, exclusive
from gan_core.errors import ConfigError, StoreError
from gan_core.outages import reason, transient

DEFAULT_STORE = "./store"
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
STAGING = ".staging"  # parts of artefacts that are not finished; nothing reads it


class Store:
    """Objects under one fsspec URL.  A bare path is `file://`.

    ConfigError when the URL's protocol is not known or its package is missing.
    """

    def __init__(self, url: str | Path = DEFAULT_STORE) -> None:
        self.url = _whole_url(str(url))
        if holds_password(self.url):
            raise ConfigError("--store: the URL holds a password, which would be kept with every result; leave it out "
                              "and export the credentials, for S3 as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        # a listing remembered from before another process wrote would be a wrong answer
        fresh = {"use_listings_cache": False, "skip_instance_cache": True} if "s3" in self.url.split("://")[0] else {}
        try:
            self._fs: Any
            self._fs, self._root = fsspec.core.url_to_fs(self.url, **fresh)
        except (ValueError, ImportError) as error:
            raise ConfigError(f"--store {url}: {error}; ./store and s3://bucket/prefix work") from None
        self._root = self._root.rstrip("/")
        self.is_local = isinstance(self._fs, LocalFileSystem)

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

    def exists(self, path: str) -> bool:
        return bool(self._fs.exists(self._full(path)))

    def read(self, path: str) -> bytes:
        """FileNotFoundError when there is no such object."""
        return bytes(self._fs.cat_file(self._full(path)))

    def write(self, path: str, data: bytes) -> None:
        """Writes or replaces one whole object.  StoreError when there is no room."""
        if self.is_local:
            aside = self._aside(path, data)
            os.replace(aside, self._full(path))  # noqa: PTH105 - both are strings of one file system
        else:
            self._fs.pipe_file(self._full(path), _plain(data))

    def create(self, path: str, data: bytes) -> None:
        """Writes one whole object where there is none.  FileExistsError when there is one, also in a race."""
        if self.is_local:
            aside = self._aside(path, data)
            try:
                os.link(aside, self._full(path))  # fails where the target exists; content and all
            finally:
                aside.unlink()
            return
        if not self.protocol().exclusive:
            claims.create(self._fs, self._full(path), self._full(f"{claims.FOLDER}/{path}"), _plain(data))
            return
        try:
            self._fs.pipe_file(self._full(path), _plain(data), mode="create")
        except OSError as error:
            if isinstance(error, FileExistsError) or self.exists(path):
                raise FileExistsError(self.uri(path)) from None
            raise

    def protocol(self) -> exclusive.Verdict:
        """How `create` keeps its promise here; asked of the store once a process."""
        return exclusive.verdict(self._fs, self._root)

    def put(self, local: Path, path: str) -> None:
        """Uploads one whole file."""
        if self.is_local:
            target = Path(self._full(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = target.parent / f".{target.name}.{uuid.uuid4().hex}"
            shutil.copyfile(local, aside)
            flush(aside)
            aside.replace(target)
        else:
            self._fs.put_file(str(local), self._full(path))

    def get(self, path: str, local: Path) -> None:
        """Downloads one file; `local` is whole or absent."""
        local.parent.mkdir(parents=True, exist_ok=True)
        aside = local.parent / f".{local.name}.{uuid.uuid4().hex}"
        self._fs.get_file(self._full(path), str(aside))
        aside.replace(local)

    def sizes(self, prefix: str) -> dict[str, int]:
        """Every object below a prefix, by path relative to it, with its size in bytes."""
        full = self._full(prefix)
        try:
            found = self._fs.find(full, detail=True)
        except FileNotFoundError:
            return {}
        return {str(PurePosixPath(p).relative_to(PurePosixPath(full))): int(i["size"]) for p, i in found.items()}

    def names(self, prefix: str) -> list[str]:
        """The names right below a prefix, sorted; empty when there is nothing there."""
        try:
            found = self._fs.ls(self._full(prefix), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = {PurePosixPath(p).name for p in found if p.rstrip("/") != self._full(prefix)}
        return sorted(n for n in names if not n.startswith("."))

    def delete(self, path: str) -> None:
        """Removes an object, or all below a prefix; nothing happens where there is nothing.

        Raises what the store refused: when it returns, nothing is left that was there before.
        """
        with contextlib.suppress(FileNotFoundError if self.is_local else OSError):  # some refuse many at once
            self._fs.rm(self._full(path), recursive=True)
        if self.is_local:
            return
        for left in self._fs.find(self._full(path)):  # s3fs deletes many at once and is silent about those refused
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(left)

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
            raise ConfigError(f"--store {self.url}: cannot be written: {reason(error.__cause__ or error)}; "
                              "name a directory of yours, or export credentials for the bucket") from error

    def _staging_root(self) -> Path:
        if self.is_local:
            return Path(self._full(STAGING))
        return Path(os.environ.get("TMPDIR") or tempfile.gettempdir()) / f"gan-pipelines-{os.getuid()}"

    def _full(self, path: str) -> str:
        inner = _inside(path)
        return f"{self._root}/{inner}" if inner else str(self._root)

    def _aside(self, path: str, data: bytes) -> Path:
        target = Path(self._full(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.parent / f".{target.name}.{uuid.uuid4().hex}"
        try:
            with no_room(self.uri(path)):
                aside.write_bytes(data)
                flush(aside)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        return aside


@contextlib.contextmanager
def no_room(uri: str) -> Iterator[None]:
    """A full or failing disk as one StoreError that names what was being written."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM or transient(error):  # s3fs says EIO for answers that it has no name for
            raise
        raise StoreError(f"{uri}: could not be written: {error.strerror}; nothing that was finished is lost: "
                         "make room, and run the same command again") from error


def holds_password(url: str) -> bool:
    """Whether a URL says user:password@host, in any of its parts."""
    return re.search(r"://[^/@:]*:[^/@]+@", url) is not None


def split_url(url: str) -> tuple[str, str]:
    """An object's or prefix's URL as (URL of what is above it, its last name)."""
    above, _, name = _whole_url(url).rstrip("/").rpartition("/")
    return above, name


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


def _plain(data: bytes) -> bytes:
    """What S3's client takes: of Arrow's buffers and other views of memory it is a copy."""
    return data if isinstance(data, bytes | bytearray) else bytes(data)


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if ".." in parts or path.startswith("/") or "\\" in path:
        raise StoreError(f"'{path}' points outside the store; use a relative path without '..'")
    return "/".join(parts)


def flush(file: Path) -> None:
    """Waits until a file's bytes are on the disk."""
    with file.open("rb+") as handle:
        os.fsync(handle.fileno())
