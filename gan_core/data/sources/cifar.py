"""CIFAR's binary files, unpacked in a folder or in their tar.gz.

Format: https://www.cs.toronto.edu/~kriz/cifar.html, "binary version": label bytes, then 3×32×32 uint8, channels first.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gan_core.data.files import Files, Limits
from gan_core.data.sources.array_items import ArrayItems, Arrays, InMemory, Reading
from gan_core.data.sources.array_values import Numbers
from gan_core.data.sources.tar_members import packed_members, tar_table
from gan_core.errors import DataError

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class CifarFiles:
    """The names of a set's files.  label_bytes: before each image."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    label_bytes: int


class CifarBinary(ArrayItems):
    """The records of a set.  label_byte: which of the bytes before an image is its class."""

    files: CifarFiles
    label_byte: int
    classes: int

    def open_arrays(self) -> AbstractContextManager[Arrays]:
        return nullcontext(_loaded(self, Files(self.url).stamp()))

    def reading(self) -> Reading:
        return Reading(layout="chw", span=(0, 255))

    def arrays(self) -> InMemory:
        """All batches.  DataError for one that is missing or is no whole number of records."""
        batches = _batches(self.url, (*self.files.train, *self.files.test), self.limits)
        arrays = {}
        for split, names in {"train": self.files.train, "test": self.files.test}.items():
            records = np.concatenate([self._records(name, batches.get(name)) for name in names])
            labels = records[:, self.label_byte]
            if len(labels) and labels.max() >= self.classes:
                raise DataError(f"{self.url}: {split} holds the label {labels.max()}, beyond its {self.classes} "
                                "classes; copy it again")
            arrays[f"{split}/images"] = records[:, self.files.label_bytes :].reshape(-1, *SHAPE)
            arrays[f"{split}/labels"] = labels
        return InMemory(arrays)

    def _records(self, name: str, data: bytes | None) -> Numbers:
        if data is None:
            raise DataError(f"{self.url}: holds no {name}; put the binary version's tar.gz there")
        size = self.files.label_bytes + PIXELS
        if len(data) % size:
            raise DataError(f"{self.url}: {name}: {len(data):,} bytes are no whole number of records of {size:,}; it "
                            "is truncated, or of another format")
        return np.frombuffer(data, np.uint8).reshape(-1, size)


def _batches(url: str, names: tuple[str, ...], limits: Limits) -> dict[str, bytes]:
    """The wanted files by name, from a folder or a tar."""
    files = Files(url)
    if not files.is_file:
        return {name: files.read(name, limits.bytes) for name in names if files.exists(name)}
    with files.open() as archive:
        paths, table = tar_table(archive, url, limits)
        wanted = {int(offset): path.rpartition("/")[2] for path, offset in zip(paths, table.offsets, strict=True)
                  if path.rpartition("/")[2] in names}
        archive.seek(0)
        return {wanted[offset]: data for offset, data in packed_members(archive, url, limits, wanted)}


@lru_cache(maxsize=2)  # unpacked once a process
def _loaded(source: CifarBinary, stamp: str) -> InMemory:
    return source.arrays()
