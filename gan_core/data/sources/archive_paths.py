"""Names of an archive's members as paths that cannot lead out of it, and the bytes at a place in it."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import IO

from gan_core.data.files import unsafe
from gan_core.errors import DataError


def clean_path(name: str, url: str) -> str:
    """A member's path with '/' between its parts and no '.' among them.  DataError when it could lead outside."""
    if unsafe(name) or not name:
        raise DataError(f"{url}: holds a member named '{name}', which points outside it; such an archive is not read")
    return posixpath.normpath(name.replace("\\", "/"))


def in_order(paths: Sequence[str]) -> list[int]:
    """The numbers of the paths, sorted by path; of equal paths the last counts, as it does when an archive is unpacked.
    """
    latest = {path: number for number, path in enumerate(paths)}
    return [latest[path] for path in sorted(latest)]


def refuse_link(url: str, path: str, kind: str) -> None:
    """DataError: an archive that holds a link or a device is not a set of images."""
    raise DataError(f"{url}: holds '{path}', a {kind}; such an archive is not read: pack the files themselves, "
                    "without links or devices")


def bytes_at(archive: IO[bytes], offset: int, size: int) -> bytes:
    """`size` bytes of an archive.  DataError, with the reason alone, where there are fewer."""
    if not 0 <= offset < 2**62:
        raise DataError("is damaged in its archive: it is said to begin outside it")
    try:
        archive.seek(offset)
        data = archive.read(size)
    except ValueError as error:  # a web server that sends files from their start only
        raise DataError(f"cannot be read from the middle of its archive: {error}; download the archive and name the "
                        "copy") from None
    if len(data) < size:
        raise DataError(f"is truncated in its archive: {size - len(data):,} bytes are missing")
    return data
