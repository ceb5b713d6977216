"""Arrays in files, read by rows, so that a process holds no more of them than it was asked for."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from gan_core.data.sources.array_values import Header, Numbers
from gan_core.disk import no_room
from gan_core.errors import DataError

COPIED = 2**20  # bytes at a time


class Rows(Protocol):
    """An array that is read by rows."""

    @property
    def header(self) -> Header: ...

    def rows(self, start: int, stop: int) -> Numbers:
        """The rows start … stop − 1.  DataError where they cannot be read."""
        ...


@dataclass(frozen=True)
class RowsInMemory:
    """An array that is in memory whole."""

    values: Numbers

    @property
    def header(self) -> Header:
        return Header(self.values.shape, self.values.dtype)

    def rows(self, start: int, stop: int) -> Numbers:
        return self.values[start:stop]


class ArrayOnDisk:
    """Rows of an array in C order, from an open file that is closed with this object."""

    def __init__(self, descriptor: int, offset: int, header: Header, where: str) -> None:
        self._descriptor, self._offset, self.header, self._where = descriptor, offset, header, where
        weakref.finalize(self, os.close, descriptor)

    @staticmethod
    def of(path: Path, offset: int, header: Header, where: str) -> ArrayOnDisk:
        """An array that begins at `offset` bytes in a local file.  DataError where it may not be read."""
        try:
            return ArrayOnDisk(os.open(path, os.O_RDONLY), offset, header, where)
        except OSError as error:
            raise DataError(f"{where}: cannot be read: {error.strerror}") from None

    @staticmethod
    def unpacked(stream: IO[bytes], header: Header, where: str) -> ArrayOnDisk:
        """The values that follow in a stream, on this machine's disk for as long as the object lives.

        DataError when the stream ends too soon; StoreError when the disk is full.
        """
        with tempfile.TemporaryFile() as file:
            needed = prod(header.shape) * header.dtype.itemsize
            left = needed + 1
            with no_room(tempfile.gettempdir(), Path(tempfile.gettempdir())):
                while left and (chunk := stream.read(min(COPIED, left))):
                    left -= file.write(chunk)
                file.flush()
            refuse_other_length(needed + 1 - left, needed, where)
            return ArrayOnDisk(os.dup(file.fileno()), 0, header, where)

    def rows(self, start: int, stop: int) -> Numbers:
        """The rows start … stop − 1.  DataError when the file has shrunk since it was opened."""
        stop = min(stop, self.header.shape[0])
        start = min(start, stop)
        data = bytearray((stop - start) * self.header.row_bytes)
        view, at = memoryview(data), self._offset + start * self.header.row_bytes
        while view:
            count = os.preadv(self._descriptor, [view], at)
            if not count:
                raise DataError(f"{self._where}: has been cut short while it was read; run the same command again")
            view, at = view[count:], at + count
        shape = (stop - start, *self.header.shape[1:])
        dtype = self.header.dtype
        return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def refuse_other_length(held: int, needed: int, where: str) -> None:
    """DataError where there are more or fewer bytes than a header promises."""
    if held < needed:
        raise DataError(f"{where}: is truncated: {needed - held:,} of {needed:,} bytes are missing; copy it again")
    if held > needed:
        raise DataError(f"{where}: holds more than the {needed:,} bytes that its header says; copy it again")


@dataclass(frozen=True)
class ArraysByName:
    """Arrays by name."""

    arrays: Mapping[str, Rows]

    @property
    def headers(self) -> Mapping[str, Header]:
        return {name: array.header for name, array in self.arrays.items()}

    def rows(self, name: str, start: int, stop: int) -> Numbers:
        return self.arrays[name].rows(start, stop)
