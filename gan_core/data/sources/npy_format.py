"""NumPy's own file format, its header checked before anything is read, and pickled objects never.

Format: NEP 1, numpy.lib.format.
"""

from __future__ import annotations

from math import prod
from typing import IO

import numpy as np

from gan_core.data.sources.array_values import Header, Numbers
from gan_core.errors import DataError


def read_header(stream: IO[bytes], size: int, memory: int, where: str) -> Header:
    """The header of a .npy file of `size` bytes; the stream is left where the values begin.

    DataError for what is no such file, is cut off, holds Python objects, or would fill more than `memory` bytes.
    """
    try:
        version = np.lib.format.read_magic(stream)
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = reader(stream)
    except (ValueError, KeyError, OSError, EOFError, SyntaxError, RecursionError) as error:
        raise DataError(f"{where}: is not a whole .npy file: {error}; save it again by np.save") from None
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
    return Header(shape, dtype)


def read_values(stream: IO[bytes], where: str) -> Numbers:
    """The array of a .npy file whose header has been checked."""
    try:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{where}: cannot be read: {error}; save it again by np.save") from None
