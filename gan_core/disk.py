"""Writing to a local disk: whole or not at all, and in words when there is no room."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from gan_core.errors import StoreError
from gan_core.outages import transient

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


@contextlib.contextmanager
def no_room(uri: str, folder: Path) -> Iterator[None]:
    """A full or failing disk as one StoreError that names what was being written, and how full it is.

    folder: where the bytes go, or will go; on the disk in question.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM or transient(error):  # s3fs says EIO for answers that it has no name for
            raise
        raise StoreError(f"{uri}: could not be written: {error.strerror}{_left(error, folder)}; nothing that was "
                         "finished is lost: make room, and run the same command again") from error


def _left(error: OSError, folder: Path) -> str:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ""
    there = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    room = shutil.disk_usage(there)
    return f": {there} has {room.free:,} of {room.total:,} bytes free"


def write_aside(target: Path, data: bytes, uri: str) -> Path:
    """A file beside `target`, to be renamed to it; on the disk when this returns.  StoreError when there is no room."""
    aside = _beside(target)
    try:
        with no_room(uri, target.parent):
            aside.write_bytes(data)
            flush(aside)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return aside


def copy_whole(source: Path, target: Path) -> None:
    """Copies a file; `target` is replaced whole."""
    aside = _beside(target)
    shutil.copyfile(source, aside)
    flush(aside)
    aside.replace(target)


def flush(file: Path) -> None:
    """Waits until a file's bytes are on the disk."""
    with file.open("rb+") as handle:
        os.fsync(handle.fileno())


def _beside(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.parent / f".{target.name}.{uuid.uuid4().hex}"
