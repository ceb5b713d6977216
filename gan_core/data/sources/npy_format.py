"""NumPy's own file format, its header checked before anything is read, and pickled objects never.

Format: NEP 1, numpy.lib.format.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from gan_core.data.sources.array_on_disk import ArrayOnDisk, Rows, RowsInMemory
from gan_core.data.sources.array_values import Header
from gan_core.errors import DataError


def read_header(stream: IO[bytes], size: int, memory: int, where: str) -> tuple[Header, bool]:
    """The header of a .npy file of `size` bytes, and whether its first axis runs fastest (Fortran's order).

    The stream is left where the values begin.

    DataError for what is no such file, is cut off, holds Python objects, or would fill more than `memory` bytes.
    """
    try:
        version = np.lib.format.read_magic(stream)
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, by_columns, dtype = reader(stream)
    except Exception as error:  # the header is Python's text, which can go wrong in as many ways as Python's can
        raise DataError(f"{where}: is not a whole .npy file: {error}; copy it again, or save it by np.save") from None
    if dtype.hasobject:
        raise DataError(f"{where}: holds Python objects, which only unsafe pickles store; save one array of numbers: "
                        "np.save(file, np.stack(images), allow_pickle=False)")
    if any(length < 0 for length in shape):
        raise DataError(f"{where}: its header says shape {list(shape)}; save it again by np.save")
    needed = prod(shape) * dtype.itemsize
    if needed > memory:
        raise DataError(f"{where}: is {needed:,} bytes, more than memory={memory:,}; raise it, or save a plain .npy or "
                        "an HDF5 file, which are read row by row")
    if (missing := needed - (size - stream.tell())) > 0:
        raise DataError(f"{where}: is truncated: {missing:,} of {needed:,} bytes are missing; copy it again")
    return Header(shape, dtype), by_columns and len(shape) > 1


def open_values(stream: IO[bytes], header: Header, by_columns: bool, local: Path | None, where: str) -> Rows:
    """The values that follow a header, read by rows where they lie in rows.

    local: the file, where its values lie unpacked on this machine's disk.
    """
    if by_columns:  # a row is spread over the whole file
        flat = np.frombuffer(stream.read(prod(header.shape) * header.dtype.itemsize), header.dtype)
        return RowsInMemory(flat.reshape(header.shape, order="F"))
    if local is not None:
        return ArrayOnDisk.of(local, stream.tell(), header, where)
    return ArrayOnDisk.unpacked(stream, header, where)
