"""The members of a zip file as compact arrays, and the checked bytes of one.

Format: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header) and 4.4.5 (compression methods).
"""

from __future__ import annotations

import bz2
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gan_core.data.files import Limits, is_hidden
from gan_core.data.sources.archive_paths import bytes_at, clean_path, in_order, refuse_link
from gan_core.errors import DataError

ENCRYPTED = 0x1
LARGEST = 2**63 - 1  # a damaged archive may say more
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, …, length of the name, length of the extra field
KINDS = {stat.S_IFLNK: "symbolic link", stat.S_IFCHR: "device", stat.S_IFBLK: "device", stat.S_IFIFO: "pipe",
         stat.S_IFSOCK: "socket"}


class ZipMember(NamedTuple):
    """Where a member's header begins, its sizes packed and unpacked, and how it is packed."""

    offset: int
    packed: int
    size: int
    crc: int
    method: int
    flags: int


@dataclass(frozen=True)
class ZipTable:
    """Members by number: [n, 6] int64, columns as in ZipMember."""

    rows: NDArray[np.int64]

    def __getitem__(self, number: int) -> ZipMember:
        return ZipMember(*self.rows[number].tolist())


def zip_table(archive: IO[bytes], url: str, limits: Limits) -> tuple[list[str], ZipTable]:
    """The files in a zip, sorted by path, and where each lies.

    DataError for what is no zip, and for one that holds links, devices, or paths that lead outside.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
    except (zipfile.BadZipFile, NotImplementedError, struct.error) as error:
        raise DataError(f"{url}: is not a whole zip file: {error}; copy it again") from None
    except (ValueError, OSError) as error:  # a web server that sends files from their start only
        raise DataError(f"{url}: cannot be read from anywhere in it: {error}; download it and name the copy") from None
    if len(members) > limits.items:
        raise DataError(f"{url}: holds {len(members):,} members, more than limits.items={limits.items:,}; raise it")
    paths: list[str] = []
    rows: list[tuple[int, ...]] = []
    for member in members:
        path = clean_path(member.orig_filename, url)
        mode = stat.S_IFMT(member.external_attr >> 16)
        if mode in KINDS:
            refuse_link(url, path, KINDS[mode])
        if not member.is_dir() and not is_hidden(path):
            paths.append(path)
            rows.append(tuple(min(number, LARGEST) for number in (
                member.header_offset, member.compress_size, member.file_size, member.CRC, member.compress_type,
                member.flag_bits)))
    order = in_order(paths)
    return [paths[number] for number in order], ZipTable(np.array(rows, np.int64).reshape(-1, 6)[order])


def zip_member(archive: IO[bytes], member: ZipMember, limits: Limits) -> bytes:
    """A member's bytes.  DataError, with the reason alone, when they are not what the archive says, or too many."""
    if member.flags & ENCRYPTED:
        raise DataError("is encrypted in its archive; unpack it with its password first")
    if max(member.size, member.packed) > limits.bytes:
        raise DataError(f"unpacks to {member.size:,} bytes, more than limits.bytes={limits.bytes:,}; raise it if that "
                        "is right")
    packed = _packed_bytes(archive, member)
    try:
        data = _unpacked(packed, member)
    except (zlib.error, OSError, EOFError, ValueError) as error:
        raise DataError(f"is damaged in its archive: {error}") from None
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise DataError("is damaged in its archive: its checksum or size is another than the archive says")
    return data


def _packed_bytes(archive: IO[bytes], member: ZipMember) -> bytes:
    header = bytes_at(archive, member.offset, LOCAL_HEADER.size)
    if not header.startswith(b"PK\3\4"):
        raise DataError("is damaged in its archive: it does not begin where the archive says")
    _, name, extra = LOCAL_HEADER.unpack(header)
    return bytes_at(archive, member.offset + LOCAL_HEADER.size + name + extra, member.packed)


def _unpacked(packed: bytes, member: ZipMember) -> bytes:
    """At most one byte more than the archive says, so that a bomb does not unfold."""
    match member.method:
        case zipfile.ZIP_STORED:
            return packed
        case zipfile.ZIP_DEFLATED:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.size + 1)
        case zipfile.ZIP_BZIP2:
            return bz2.BZ2Decompressor().decompress(packed, member.size + 1)
    raise DataError(f"is packed by method {member.method}, not stored (0), deflated (8) or by bzip2 (12); "
                    "pack the archive again, for example with zip -r")
