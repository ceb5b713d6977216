"""The members of a tar file as compact arrays, and the bytes of one; gzip, bzip2 and xz are unpacked as they are read.

A damaged header ends a tar silently in the standard library; here it is an error.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from gan_core.data.files import Limits, is_hidden
from gan_core.data.sources.archive_paths import bytes_at, clean_path, in_order, refuse_link
from gan_core.errors import DataError

UNPACKERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
BROKEN = (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class TarTable:
    """Where each member's bytes begin in the unpacked archive, and how many they are: [n] int64.

    compressed: whether it has to be unpacked from its start to reach them.
    """

    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    compressed: bool


def tar_table(archive: IO[bytes], url: str, limits: Limits) -> tuple[list[str], TarTable]:
    """The files in a tar, sorted by path, and where each lies.

    DataError for what is no whole tar, and for one that holds links, devices, or paths that lead outside.
    """
    with _unpacked(archive, url) as (stream, compressed):
        found = [(path, member.offset_data, member.size) for path, member in _members(stream, url, limits, compressed)]
    order = in_order([path for path, _, _ in found])
    table = np.array([found[number][1:] for number in order], np.int64).reshape(-1, 2)
    return [found[number][0] for number in order], TarTable(table[:, 0].copy(), table[:, 1].copy(), compressed)


def tar_member(archive: IO[bytes], table: TarTable, item: int, limits: Limits) -> bytes:
    """A member of a tar that is not compressed.  DataError, with the reason alone, when it is cut off or too large."""
    size = int(table.sizes[item])
    if size > limits.bytes:
        raise DataError(f"is {size:,} bytes, more than limits.bytes={limits.bytes:,}; raise it if that is right")
    return bytes_at(archive, int(table.offsets[item]), size)


def packed_members(
    archive: IO[bytes], url: str, limits: Limits, wanted: Container[int]
) -> Iterator[tuple[int, bytes]]:
    """The members of a compressed tar whose offsets are wanted, each with its offset, in the archive's order."""
    with _unpacked(archive, url) as (stream, compressed):
        for _, member in _members(stream, url, limits, compressed):
            if member.offset_data in wanted:
                stream.seek(member.offset_data)
                yield member.offset_data, stream.read(member.size)


class _Stream:
    """What tarfile reads from: single reads are bounded, as lying headers ask for any size; the last is remembered."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._limit = stream, limit
        self.last = b""

    def read(self, size: int) -> bytes:
        if size > self._limit:
            raise tarfile.ReadError(f"a header asks for {size:,} bytes")
        self.last = self._stream.read(size)
        return self.last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _unpacked(archive: IO[bytes], url: str) -> Iterator[tuple[IO[bytes], bool]]:
    try:
        start = archive.read(6)
        archive.seek(0)
    except BROKEN as error:  # a web server that sends files from their start only
        raise DataError(f"{url}: cannot be read from anywhere in it: {error}; download it and name the copy") from None
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        raise DataError(f"{url}: is packed by zstd, which is not read here; unpack it: zstd -d")
    unpacker = next((kind for magic, kind in UNPACKERS.items() if start.startswith(magic)), None)
    if unpacker is None:
        yield archive, False
        return
    with unpacker(archive) as stream:
        yield stream, True


def _members(
    stream: IO[bytes], url: str, limits: Limits, compressed: bool
) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """The regular files of a tar that are not hidden, in its order."""
    watched = _Stream(stream, limits.bytes)
    seen, offset = 0, -1
    try:
        with tarfile.open(fileobj=cast(IO[bytes], watched), mode="r:") as tar:
            while (member := tar.next()) is not None:
                cast(Any, tar).members.clear()  # it would keep them all
                seen += 1
                if seen > limits.items or member.offset <= offset or member.size < 0:
                    raise tarfile.ReadError(f"more than limits.items={limits.items:,} members, or headers in a circle")
                offset = member.offset
                path = _checked(member, url, limits, compressed)
                if member.isreg() and not is_hidden(path):
                    yield path, member
    except BROKEN as error:
        raise DataError(f"{url}: is not a whole tar file: {error}; copy it again") from None
    if any(watched.last) or len(watched.last) < tarfile.BLOCKSIZE:
        raise DataError(f"{url}: is truncated or damaged after {seen:,} members; copy it again")


def _checked(member: tarfile.TarInfo, url: str, limits: Limits, compressed: bool) -> str:
    path = clean_path(member.name, url)
    if member.issym() or member.islnk():
        refuse_link(url, path, "link")
    if not (member.isreg() or member.isdir()) or member.issparse():
        refuse_link(url, path, "sparse file" if member.issparse() else "device, pipe or unknown kind of member")
    if compressed and member.size > limits.bytes:
        raise DataError(f"{url}: '{path}' unpacks to {member.size:,} bytes, more than limits.bytes={limits.bytes:,}; "
                        "raise it if that is right")
    return path
