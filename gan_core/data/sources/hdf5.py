"""HDF5 files: groups named as splits, with images and labels, or arrays at the root; rows are read when needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any, Literal, NoReturn

import numpy as np

from gan_core.data.files import Files
from gan_core.data.sources.array_items import ArrayOptions, Arrays
from gan_core.data.sources.array_values import Header, Numbers
from gan_core.errors import DataError

READ_ERRORS = (OSError, RuntimeError, ValueError, KeyError, TypeError, SystemError)  # what h5py makes of the library's


class Hdf5(ArrayOptions):
    """Arrays in an HDF5 file.  One that leads to other files, by links or virtual arrays, is refused."""

    source: Literal["hdf5"] = "hdf5"

    @contextmanager
    def open_arrays(self) -> Iterator[Arrays]:
        h5py = _h5py()
        files = Files(self.url)
        if not files.is_file:
            raise DataError(f"{self.url}: is a folder; name one HDF5 file in it")
        with files.open() as stream, ExitStack() as opened:
            try:
                file = opened.enter_context(h5py.File(files.local() or stream, "r"))
                arrays = _Hdf5Arrays(file, self.url, self.memory)
            except READ_ERRORS as error:
                raise DataError(f"{self.url}: is not a whole HDF5 file: {error}; copy it again") from None
            yield arrays


class _Hdf5Arrays:
    """The arrays of an open file, by their path in it."""

    def __init__(self, file: Any, url: str, memory: int) -> None:
        self._url = url
        h5py = _h5py()
        links: list[tuple[str, Any]] = []
        file.visititems_links(lambda name, link: links.append((name, link)))
        for name, link in links:
            if isinstance(link, h5py.ExternalLink):
                self._refuse(name, f"is a link to another file, {link.filename}")
        found: list[tuple[str, Any]] = []
        file.visititems(lambda name, thing: found.append((name, thing)))
        self._arrays = {name: thing for name, thing in found if isinstance(thing, h5py.Dataset) and thing.shape}
        for name, array in self._arrays.items():
            self._check(name, array, memory)
        self.headers = {name: Header(array.shape, _type_of(array)) for name, array in self._arrays.items()}

    def rows(self, name: str, start: int, stop: int) -> Numbers:
        array = self._arrays[name]
        try:
            if _h5py().check_string_dtype(array.dtype):
                return np.asarray(array.asstr()[start:stop], np.str_)
            return np.asarray(array[start:stop])
        except READ_ERRORS as error:
            raise DataError(f"{self._url}: {name}: rows {start:,} to {stop:,} cannot be read: {error}; copy the file "
                            "again") from None

    def _check(self, name: str, array: Any, memory: int) -> None:
        if array.is_virtual or array.external:
            self._refuse(name, "keeps its values in other files")
        if array.chunks and prod(array.chunks) * array.dtype.itemsize > memory:
            self._refuse(name, f"has chunks of {prod(array.chunks) * array.dtype.itemsize:,} bytes, more than "
                               f"memory={memory:,}")

    def _refuse(self, name: str, why: str) -> NoReturn:
        raise DataError(f"{self._url}: {name} {why}; such a file is not read: copy it into one file with h5repack")


def _type_of(array: Any) -> np.dtype[Any]:
    return np.dtype(np.str_) if _h5py().check_string_dtype(array.dtype) else array.dtype


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise DataError("hdf5 needs h5py; pip install 'gan-pipelines[formats]'") from None
    return h5py
