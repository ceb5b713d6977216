"""Published files: found in a folder, or downloaded once, and in both cases compared with their published md5."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError

from gan_core.data.files import Files
from gan_core.errors import DataError

CHUNK = 2**20
PATIENCE = 30  # seconds without a byte


@dataclass(frozen=True)
class Published:
    """A data set's files on the web.  md5: by file name.  base: the URL that they lie below."""

    name: str
    base: str
    md5: Mapping[str, str]


def is_mirror(root: str | None) -> bool:
    """Whether files are to be downloaded from there, not read there."""
    return root is None or root.startswith(("http://", "https://"))


def fetched(published: Published, mirror: str | None, limit: int) -> Path:
    """The folder of a set's files, each downloaded unless it is there already, whole or not at all.

    It is $XDG_CACHE_HOME/gan-pipelines/datasets/<name>.  DataError for a failed download, and for another md5.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "gan-pipelines" / "datasets" / published.name
    folder.mkdir(parents=True, exist_ok=True)
    for name, md5 in published.md5.items():
        file = folder / name
        if not (file.is_file() and _md5_of_file(file) == md5):
            _download(f"{(mirror or published.base).rstrip('/')}/{name}", file, md5, limit)
    return folder


def verify(files: Files, path: str, md5: str, name: str) -> None:
    """DataError for a copy whose bytes are not the published ones."""
    with files.open(path) as stream:
        found = _md5(stream)
    if found != md5:
        raise DataError(f"{files.url.rstrip('/')}/{path}: md5 is {found}, that of the published {name} is {md5}; copy "
                        "it again, or read a set of your own by the source of its format, such as source: idx")


def _download(url: str, file: Path, md5: str, limit: int) -> None:
    part, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(part, "wb") as out:
            found = _copy(url, out, limit)
        if found != md5:
            raise DataError(f"{url}: what came has md5 {found}, the published file {md5}; set root: to a folder with "
                            f"{file.name}, or to another mirror")
        os.replace(name, file)  # noqa: PTH105 - a name from mkstemp
    finally:
        Path(name).unlink(missing_ok=True)


def _copy(url: str, out: IO[bytes], limit: int) -> str:
    """The md5 of what a URL gave."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            while chunk := answer.read(CHUNK):
                size += len(chunk)
                if size > limit:
                    raise DataError(f"{url}: gives more than limits.bytes={limit:,} bytes; raise it, or name another "
                                    "mirror by root:")
                out.write(chunk)
                digest.update(chunk)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise DataError(f"{url}: cannot be downloaded: {error}; fetch it on another machine and set root: to the "
                        "folder that holds it") from None
    return digest.hexdigest()


def _md5(stream: Any) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _md5_of_file(file: Path) -> str:
    with file.open("rb") as stream:
        return _md5(stream)
