"""The files of a data set, read from any fsspec URL, and never from outside the root that was named."""

from __future__ import annotations

import hashlib
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import IO, Any, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem
from pydantic import Field

from gan_core.config import Config, Count
from gan_core.errors import ConfigError, DataError

MOST_ARE_SMALLER = 2**20
ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)
WEB = ("http://", "https://")
WORKS = "a directory, a file, s3://bucket/prefix, https://host/set.zip, zip://*::s3://bucket/set.zip and memory://set"
NAMES_OF_CONTENT = ("ETag", "etag", "md5", "checksum", "CRC")
TIMES = ("mtime", "LastModified", "last_modified", "Last-Modified", "created")
NAMED = -1  # FileFacts.changed where the stamp is a name of the content, which no other content has
UNTOLD = 2**63 - 1  # and where nothing tells whether a file has changed


class Limits(Config):
    """What is refused before it can fill memory or run for days; raise a limit for data that you trust."""

    pixels: Count = Field(50_000_000, description="pixels of one image, or of one frame")
    bytes: Count = Field(256 * 2**20, description="bytes of one item, unpacked")
    items: Count = Field(50_000_000, description="files in a folder or archive, or rows in a table")


class FileFacts(NamedTuple):
    """A file of a set.  path: relative to the root, '/' between parts.  stamp: changes when the file does.

    changed: when its bytes or its entry last were, in ns since 1970; or NAMED, or UNTOLD.
    """

    path: str
    size: int
    stamp: str | int
    changed: int = UNTOLD


class Files:
    """Everything below one URL, or the one file that it names.

    ConfigError for a URL of no known protocol; DataError, with what works, where nothing is there.
    """

    def __init__(self, url: str | Path) -> None:
        self.url = str(url)
        here = Path(self.url).expanduser().absolute()
        whole = self.url if "://" in self.url or "::" in self.url else f"file://{here}"
        try:
            self._fs: Any
            self._fs, root = fsspec.core.url_to_fs(whole)
        except FileNotFoundError:
            raise DataError(f"{self.url}: is not there; {WORKS} work") from None
        except (*ARCHIVE_ERRORS, IsADirectoryError) as error:
            raise DataError(f"{self.url}: is not a whole archive: {error}; copy it again") from None
        except (ValueError, ImportError) as error:
            raise ConfigError(f"{self.url}: {error}; {WORKS} work") from None
        self._root = "" if root in ("*", "/*") else str(root).rstrip("/")
        self._is_local = isinstance(self._fs, LocalFileSystem)

    @cached_property
    def is_file(self) -> bool:
        """Whether the URL names one file.  DataError when it names nothing, or what it names may not be read."""
        if self.url.startswith(WEB) and self.url.endswith("/"):
            return False  # a web server's page of links
        try:
            return bool(self._fs.info(self._root)["type"] == "file")
        except FileNotFoundError:
            raise DataError(f"{self.url}: is not there; {WORKS} work") from None
        except OSError as error:
            raise DataError(f"{self.url}: cannot be read: {error.strerror or error}") from None

    def list(self, limit: int = Limits().items) -> list[FileFacts]:
        """Every file, sorted by path; hidden ones (.DS_Store, __MACOSX) are left out.

        Of one file that the URL names, the path is its name.  DataError for links that lead outside the root, for
        paths with '..', and for more files than `limit`.
        """
        if not self._is_local:
            self._fs.invalidate_cache()  # what was listed before may have changed
        if self.is_file:
            return [self._only()]
        found = []
        for file in self._local_files() if self._is_local else self._remote_files():
            found.append(file)
            if len(found) > limit:
                raise DataError(f"{self.url}: holds more than {limit:,} files; name a part of it, or set limits.items")
        found.sort()
        return found

    def _remote_files(self) -> Iterator[FileFacts]:
        for full, info in self._fs.find(self._root, detail=True).items():
            path = full.removeprefix(self._root).lstrip("/")
            if is_hidden(path):
                continue
            if unsafe(path):
                raise DataError(f"{self.url}: holds '{path}', which points outside it; such a set is not read")
            yield self._facts(path, info)

    def _local_files(self) -> Iterator[FileFacts]:
        """As `_remote_files`, without a record of each file that fills memory for millions of them."""
        root = os.path.realpath(self._root)
        for folder, folders, names in os.walk(self._root, followlinks=True, onerror=self._refuse_unreadable):
            folders[:] = [name for name in folders if not is_hidden(name)]
            inner = os.path.relpath(folder, self._root)
            for name in folders:
                self._refuse_outside(f"{folder}/{name}", root)
            for name in names:
                full = f"{folder}/{name}"
                if is_hidden(name):
                    continue
                self._refuse_outside(full, root)
                try:
                    stat = os.stat(full)  # noqa: PTH116 - a Path for each of millions of files takes seconds
                except OSError as error:
                    raise DataError(f"{full}: cannot be read: {error.strerror}; remove it from the set") from None
                if S_ISREG(stat.st_mode):
                    yield _on_disk(name if inner == "." else f"{inner}/{name}", stat)

    def _only(self) -> FileFacts:
        """The one file that the URL names."""
        name = PurePosixPath(self._root).name
        return _on_disk(name, Path(self._root).stat()) if self._is_local else self._facts(name,
                                                                                          self._fs.info(self._root))

    def _refuse_unreadable(self, error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None

    @contextmanager
    def open(self, path: str = "") -> Iterator[IO[bytes]]:
        """A file for reading from anywhere in it; '' or its name for the one file that the URL names.

        DataError when it is not there or may not be read.  A network's errors are raised as they come: they say
        nothing about the file.
        """
        full = self._root if self.is_file else self._full(path)
        try:
            handle = self._fs.open(full, "rb")
        except FileNotFoundError:
            raise DataError(f"{self._named(path)}: is not there") from None
        except (PermissionError, IsADirectoryError) as error:
            raise DataError(f"{self._named(path)}: cannot be read: {error.strerror or error}") from None
        except ARCHIVE_ERRORS as error:
            raise DataError(f"{self._named(path)}: is damaged in its archive: {error}") from None
        with handle:
            yield handle

    def read(self, path: str, limit: int) -> bytes:
        """All of a file's bytes.  DataError when it is larger than `limit`."""
        with self.open(path) as handle:
            data = bytes(handle.read(min(limit, MOST_ARE_SMALLER) + 1))  # Python makes room for all that is asked for
            if len(data) > MOST_ARE_SMALLER:
                data += handle.read(limit + 1 - len(data))
        if len(data) > limit:
            raise DataError(f"{self._named(path)}: is larger than {limit:,} bytes; raise limits.bytes if it should be")
        return data

    def exists(self, path: str) -> bool:
        return bool(self._fs.exists(self._full(path)))

    def local(self) -> Path | None:
        """Where the root lies on this machine's disk; None when it does not."""
        return Path(self._root) if self._is_local else None

    def stamp(self) -> str:
        """A digest of what is listed: cheap, and another when a file was changed, or copied with its content."""
        return listing_digest(self.list())

    def _full(self, path: str) -> str:
        if unsafe(path):
            raise DataError(f"'{path}': points outside {self.url}; it is not read")
        return f"{self._root}/{path}".lstrip("/") if not self._root else f"{self._root}/{path}".rstrip("/")

    def _named(self, path: str) -> str:
        return self.url if self.is_file or not path else f"{self.url.rstrip('/')}/{path}"

    def _refuse_outside(self, full: str, root: str) -> None:
        """DataError for a link out of the root, and for one to a folder above it, which would never end."""
        if not os.path.islink(full):  # noqa: PTH114 - as above
            return
        target = os.path.realpath(full)
        if not _within(target, root) or _within(os.path.realpath(Path(full).parent), target):
            raise DataError(f"{full}: is a link to {target}, outside the set; copy the file into it, or remove the "
                            "link")

    def _facts(self, path: str, info: dict[str, Any]) -> FileFacts:
        size = int(info.get("size") or 0)
        if content := next((str(info[name]) for name in NAMES_OF_CONTENT if info.get(name)), ""):
            # a web server makes an ETag of a file's time: another server has another one for the same bytes
            return FileFacts(path, size, content, 0 if self.url.startswith(WEB) else NAMED)
        time = next((info[name] for name in TIMES if info.get(name)), None)
        # a time inside an archive says nothing of when the archive was made
        return FileFacts(path, size, str(time or ""), UNTOLD if "::" in self.url else _nanoseconds(time))


def listing_digest(files: Iterable[FileFacts]) -> str:
    """A digest over path, size, stamp and, where it is told, time of change."""
    digest = hashlib.sha256()
    for file in files:
        told = "" if file.changed in (NAMED, UNTOLD) else f"\0{file.changed}"
        digest.update(f"{file.path}\0{file.size}\0{file.stamp}{told}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _on_disk(path: str, stat: os.stat_result) -> FileFacts:
    """The time of the entry's last change is the kernel's own: a copy that keeps its date does not keep this one."""
    return FileFacts(path, stat.st_size, stat.st_mtime_ns, max(stat.st_mtime_ns, stat.st_ctime_ns))


def _nanoseconds(time: Any) -> int:
    """A time as file systems tell it; UNTOLD where it is none."""
    if isinstance(time, str):
        try:
            time = parsedate_to_datetime(time)
        except ValueError:
            return UNTOLD
    if isinstance(time, datetime):
        time = time.timestamp()
    return int(time * 1e9) if isinstance(time, int | float) else UNTOLD


def unsafe(path: str) -> bool:
    """Whether a path inside an archive or a table could lead out of its root, on any operating system."""
    parts = path.replace("\\", "/").split("/")
    return path.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in path


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def is_hidden(path: str) -> bool:
    """Whether a path is a system's own file, such as .DS_Store, and no part of a set."""
    return any(part.startswith(".") or part in ("__MACOSX", "Thumbs.db", "desktop.ini") for part in path.split("/"))
