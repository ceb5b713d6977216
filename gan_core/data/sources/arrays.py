"""NumPy files: .npz with arrays by name, and .npy with one array of images and one of labels."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Literal

from pydantic import Field

from gan_core.data.files import ARCHIVE_ERRORS, Files
from gan_core.data.fingerprints import joint_fingerprint
from gan_core.data.sources.array_items import ArrayOptions, Arrays
from gan_core.data.sources.array_on_disk import ArraysByName, Rows
from gan_core.data.sources.array_values import Header, Numbers
from gan_core.data.sources.npy_format import open_values, read_header
from gan_core.errors import DataError


class Npz(ArrayOptions):
    """Arrays saved by np.savez: MedMNIST's and Keras' names are known, others can be named."""

    source: Literal["npz"] = "npz"

    def open_arrays(self) -> AbstractContextManager[Arrays]:
        return nullcontext(_npz(self.url, self.memory, Files(self.url).stamp()))


class Npy(ArrayOptions):
    """One array saved by np.save, read by rows."""

    source: Literal["npy"] = "npy"
    labels_url: str | None = Field(None, description="a second .npy file, of labels", examples=["data/labels.npy"])

    def open_arrays(self) -> AbstractContextManager[Arrays]:
        urls = {"images": self.url, "labels": self.labels_url}
        return nullcontext(ArraysByName({name: _npy(url, self.memory, Files(url).stamp())
                                         for name, url in urls.items() if url}))

    def fingerprint(self) -> str:
        return joint_fingerprint(Files(url) for url in (self.url, self.labels_url) if url)


class _NpzArrays:
    """An .npz file's arrays, each unpacked when it is first asked for."""

    def __init__(self, url: str, memory: int) -> None:
        files = Files(url)
        if not files.is_file:
            raise DataError(f"{url}: is a folder; name one .npz file in it")
        local = files.local()
        self._file: Path | BytesIO = local if local else BytesIO(files.read("", memory))
        self._url = url
        self._opened: dict[str, Rows] = {}
        with self._archive() as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            self._memory, self._sizes = memory, {info.filename: info.file_size for info in members}
            self.headers: dict[str, Header] = {}
            for info in members:
                name = info.filename.removesuffix(".npy")
                with archive.open(info) as stream:
                    self.headers[name], _ = read_header(stream, info.file_size, memory, f"{url}: {name}")

    def rows(self, name: str, start: int, stop: int) -> Numbers:
        if name not in self._opened:
            file, where = f"{name}.npy", f"{self._url}: {name}"
            with self._archive() as archive, archive.open(file) as stream:
                header, by_columns = read_header(stream, self._sizes[file], self._memory, where)
                self._opened[name] = open_values(stream, header, by_columns, None, where)
        return self._opened[name].rows(start, stop)

    @contextmanager
    def _archive(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self._file) as archive:
                yield archive
        except (*ARCHIVE_ERRORS, RuntimeError, OSError, zlib.error) as error:
            raise DataError(f"{self._url}: is not a whole .npz file: {error}; copy it again, or save it by np.savez"
                            ) from None


@lru_cache(maxsize=2)  # unpacked once a process
def _npz(url: str, memory: int, stamp: str) -> _NpzArrays:
    return _NpzArrays(url, memory)


@lru_cache(maxsize=4)
def _npy(url: str, memory: int, stamp: str) -> Rows:
    files = Files(url)
    if not files.is_file:
        raise DataError(f"{url}: is a folder; name one .npy file in it")
    local = files.local()
    size = files.list()[0].size
    with files.open() as stream:
        if stream.read(2) == b"PK":
            raise DataError(f"{url}: is an .npz file; source: npz reads it")
        stream.seek(0)
        header, by_columns = read_header(stream, size, max(size, memory) if local else memory, url)
        return open_values(stream, header, by_columns, local, url)
