"""MNIST's IDX files, plain or gzipped.

Format: Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits, 1998, "file formats".
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import IO, Literal, cast

import numpy as np
from pydantic import Field

from gan_core.data.files import Files, listing_digest
from gan_core.data.fingerprints import joint_fingerprint
from gan_core.data.items import split_named
from gan_core.data.sources.array_items import ArrayItems, Arrays, Reading
from gan_core.data.sources.array_on_disk import ArrayOnDisk, ArraysByName, refuse_other_length
from gan_core.data.sources.array_values import Header
from gan_core.data.sources.opened import joined, opened
from gan_core.errors import DataError

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
NAME = re.compile(r"(?:(?P<set>.+)[-_.])?(?P<split>[a-z0-9]+)[-_.](?P<role>images|labels)(?:[-_.](?:idx\d?|ubyte|gz))+")
DEEPEST = 8  # more axes than any set of images has


class Idx(ArrayItems):
    """A folder of IDX files named as MNIST's are, such as train-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz."""

    source: Literal["idx"] = "idx"
    images: str | None = Field(None, description="one file of images, relative to url; null finds them by name",
                               examples=["faces.idx3-ubyte"])
    labels: str | None = Field(None, description="one file of labels, beside images", examples=["faces.idx1-ubyte"])
    variant: str | None = Field(None, description="which of several sets in the folder, by the start of their names",
                                examples=["emnist-balanced"])

    def open_arrays(self) -> AbstractContextManager[Arrays]:
        return nullcontext(_arrays(self, self.stamp()))

    def reading(self) -> Reading:
        with self.open_arrays() as arrays:
            colours = any(len(header.shape) > 3 for header in arrays.headers.values())
        return Reading(layout="hwc" if colours else "hw", span=self.range)

    def fingerprint(self) -> str:
        return joint_fingerprint(Files(url) for url in self.paths().values())

    def stamp(self) -> str:
        """What is listed of the files."""
        return listing_digest(file for url in self.paths().values() for file in Files(url).list())

    def paths(self) -> dict[str, str]:
        """The URL of each array's file.  DataError where the folder names none, or more than one set."""
        files = opened(self.url)
        if files.is_file:
            raise DataError(f"{self.url}: is a file; set url: to the folder that it lies in, and images: to its name")
        if self.images is not None:
            given = {"images": self.images, "labels": self.labels}
            return {role: joined(files.url, path) for role, path in given.items() if path}
        found = _found([file.path for file in files.list(self.limits.items)], self.variant, self.url)
        return {role: joined(files.url, path) for role, path in found.items()}


def open_idx(stream: IO[bytes], local: Path | None, memory: int, where: str) -> ArrayOnDisk:
    """The array of an IDX file, gzipped or not.  local: where the file lies on this machine's disk, if it does.

    DataError for what is no IDX file, and where it holds more or fewer bytes than its header says.
    """
    zipped = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    opened = cast(IO[bytes], gzip.GzipFile(fileobj=stream)) if zipped else stream
    try:
        header = _header(opened, where)
        needed, offset = prod(header.shape) * header.dtype.itemsize, opened.tell()
        if local is not None and not zipped:
            refuse_other_length(local.stat().st_size - offset, needed, where)
            return ArrayOnDisk.of(local, offset, header, where)
        if needed > memory:
            raise DataError(f"{where}: says that it holds {needed:,} bytes, more than memory={memory:,}; raise it if "
                            "that is right")
        return ArrayOnDisk.unpacked(opened, header, where)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where}: is truncated or damaged: {error}; copy it again") from None


def _header(stream: IO[bytes], where: str) -> Header:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or not 1 <= magic[3] <= DEEPEST:
        raise DataError(f"{where}: is not an IDX file: it begins with 0x{magic.hex()}; images of uint8 begin with "
                        "0x00000803, labels with 0x00000801")
    lengths = stream.read(4 * magic[3])
    if len(lengths) < 4 * magic[3]:
        raise DataError(f"{where}: is truncated in its header; copy it again")
    return Header(struct.unpack(f">{magic[3]}I", lengths), np.dtype(TYPES[magic[2]]))


def _found(paths: list[str], variant: str | None, url: str) -> dict[str, str]:
    """The files named as MNIST's are, by split and role; gzipped ones, as published, before plain copies of them."""
    sets: dict[str, dict[str, str]] = {}
    for path in sorted(paths, key=lambda path: (not path.endswith(".gz"), path)):
        match = NAME.fullmatch(path.rpartition("/")[2].lower())
        if match and (split := split_named(match["split"])):
            sets.setdefault(match["set"] or "", {}).setdefault(f"{split}/{match['role']}", path)
    if variant is not None:
        sets = {name: found for name, found in sets.items() if name == variant.lower()} if variant.lower() in sets \
            else _no_variant(variant, sorted(sets), url)
    if not sets:
        raise DataError(f"{url}: holds no files named like train-images-idx3-ubyte or t10k-labels-idx1-ubyte.gz; it "
                        f"holds {', '.join(paths[:5]) or 'nothing'}; name one by images: and labels:")
    if len(sets) > 1:
        raise DataError(f"{url}: holds several sets; set variant: to one of {', '.join(filter(None, sorted(sets)))}")
    return next(iter(sets.values()))


def _no_variant(variant: str, known: list[str], url: str) -> dict[str, dict[str, str]]:
    raise DataError(f"{url}: holds no set '{variant}'; it holds {', '.join(map(repr, known)) or 'none'}")


@lru_cache(maxsize=2)  # opened, and unpacked where need be, once a process
def _arrays(source: Idx, stamp: str) -> ArraysByName:
    arrays = {}
    for role, url in source.paths().items():
        files = Files(url)
        with files.open() as stream:
            arrays[role] = open_idx(stream, files.local(), source.memory, url)
    return ArraysByName(arrays)
