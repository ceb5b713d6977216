"""The files of feature networks, each fetched once to $XDG_CACHE_HOME/gan-pipelines/networks.

A file on this machine's disks is read where it lies.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from gan_core.disk import flush, no_room
from gan_core.errors import ConfigError, DataError
from gan_core.options.feature_networks import NetworkFile
from gan_core.outages import reason
from gan_core.store import holds_password

CHUNK = 2**20
MOST_CHUNKS = 4096  # 4 GiB; what is longer is cut, and has another sha256


def network_bytes(file: NetworkFile) -> bytes:
    """All bytes of the file; their sha256 is `file.sha256`.

    ConfigError for a URL that cannot work.  DataError, with the path to put the file at, when it cannot be fetched or
    is another file.
    """
    _refuse_password(file.url)
    kept = kept_at(file)
    if not _is_local(file.url):
        data = _read(partial(kept.open, "rb")) if kept.is_file() else b""
        if _sha256(data) == file.sha256:
            return data
    data = _fetched(file, kept)
    if not _is_local(file.url):
        _keep(kept, data)
    return data


def kept_at(file: NetworkFile) -> Path:
    """Where the file is on this machine, or belongs: a copy that is put there by hand is not fetched."""
    if _is_local(file.url):
        return Path(LocalFileSystem._strip_protocol(file.url))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "gan-pipelines" / "networks" / f"{file.sha256[:16]}-{PurePosixPath(file.url).name}"


def _fetched(file: NetworkFile, kept: Path) -> bytes:
    put = f"put the file of sha256 {file.sha256} at {kept}"
    try:
        data = _read(lambda: fsspec.open(file.url, "rb"))
    except Exception as error:  # every file system has its own; all mean the same to the operator
        cause = error.__cause__ or error  # fsspec calls a server that does not answer a file that is not found
        why = "is not there" if isinstance(cause, FileNotFoundError) else f"cannot be fetched: {reason(cause)}"
        kind = ConfigError if isinstance(error, ValueError | ImportError) else DataError  # no such protocol, no package
        raise kind(f"{file.url}: {why}; {put}") from error
    if (found := _sha256(data)) != file.sha256:
        raise DataError(f"{file.url}: has sha256 {found}, and such a file is not run; {put}, or name its own sha256 if "
                        "you trust it")
    return data


def _read(opened: Callable[[], fsspec.core.OpenFile]) -> bytes:
    with opened() as handle:
        return b"".join(islice(iter(partial(handle.read, CHUNK), b""), MOST_CHUNKS))


def _keep(path: Path, data: bytes) -> None:
    """Writes a copy, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path.parent}: cannot be written: {error.strerror}; "
                          "set XDG_CACHE_HOME to a directory of yours") from None
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with no_room(str(path), path.parent):
            aside.write_bytes(data)
            flush(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _is_local(url: str) -> bool:
    """Asks no package for the protocol: without it, a copy that was put in place still works."""
    return get_protocol(url) in LocalFileSystem.protocol


def _refuse_password(url: str) -> None:
    if holds_password(url):
        raise ConfigError("the URL of a feature network holds a password, which would be kept with every result; leave "
                          "it out and export the credentials")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
