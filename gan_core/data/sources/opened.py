"""A set's files, found once a process, and the bytes of one with every archive's defect put in words."""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache

from fsspec.utils import glob_translate

from gan_core.data.files import ARCHIVE_ERRORS, FileFacts, Files, Limits
from gan_core.errors import DataError

WILDCARD = re.compile(r"[*?\[]")


@lru_cache(maxsize=8)  # an archive's table of contents is read once, not for every item
def opened(url: str) -> Files:
    """The files at a URL; of a path that ends in .zip, the files inside it.  DataError for what is no archive."""
    inside = f"zip://*::{url}" if url.lower().endswith(".zip") and "::" not in url and Files(url).is_file else url
    try:
        return Files(inside)
    except UnicodeDecodeError as error:
        raise DataError(f"{url}: cannot be opened as an archive: {error}; copy it again") from None


def bytes_of(files: Files, path: str, limits: Limits) -> bytes:
    """One file, whole.  DataError when it is missing, too large, or damaged inside its archive."""
    try:
        return files.read(path, limits.bytes)
    except (*ARCHIVE_ERRORS, UnicodeDecodeError) as error:  # the last for a name that is no text
        raise DataError(f"is damaged in its archive: {error}") from None
    except OSError as error:
        if error.errno is not None:  # the disk's or the network's, not the item's
            raise
        raise DataError(f"is damaged in its archive: {error}") from None
    except RuntimeError as error:  # zipfile's word for a password
        if "encrypted" not in str(error):
            raise
        raise DataError("is encrypted in its archive; unpack it with its password first") from None


def matching(url: str, limit: int) -> tuple[Files, list[FileFacts]]:
    """The files at a URL, or those that it matches: in 'data/train-*.parquet', * is anything but '/'.

    Paths are relative to the folder before the first wildcard.  DataError when nothing matches.
    """
    head, chain, rest = url.partition("::")
    protocol, separator, path = head.rpartition("://")
    wild = WILDCARD.search(path)
    if wild is None or path == "*":
        return opened(url), opened(url).list(limit)
    folder, slash, _ = path[: wild.start()].rpartition("/")
    files = opened(f"{protocol}{separator}{folder or slash or _top(chain, separator)}{chain}{rest}")
    pattern = re.compile(glob_translate(path[len(folder + slash) :]))
    found = [file for file in files.list(limit) if pattern.match(file.path)]
    if not found:
        raise DataError(f"{url}: matches no file; in {files.url} there are {_some(files)}")
    return files, found


def folder_of(url: str) -> str:
    """The URL of the folder that a file lies in."""
    head, chain, rest = url.partition("::")
    protocol, separator, path = head.rpartition("://")
    folder = posixpath.dirname(path) or _top(chain, separator)
    return f"{protocol}{separator}{folder}{chain}{rest}"


def joined(folder: str, path: str) -> str:
    """The URL of `path` as seen from a folder's URL; a URL or an absolute path stays as it is."""
    head, chain, rest = path.partition("::")
    if chain:
        return f"{head}::{joined(folder, rest)}"
    if "://" in path or path.startswith(("/", "~")):
        return path
    head, chain, rest = folder.partition("::")
    base = head.removesuffix("*")
    return f"{base}{'' if base.endswith('/') else '/'}{path}{chain}{rest}"


def _top(chain: str, separator: str) -> str:
    """How a URL writes the top of an archive, of a protocol, and the working directory."""
    return "*" if chain else "" if separator else "."


def _some(files: Files) -> str:
    paths = [file.path for file in files.list()]
    return f"{', '.join(paths[:3])}{' …' if len(paths) > 3 else ''}" if paths else "none"
