"""Images inside one zip or tar file, read in place; folders name splits and classes as in an image folder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import IO, Any, Literal, cast

from gan_core.data.files import Files
from gan_core.data.source import Bad, Example
from gan_core.data.sources.image_classes import ImageIndex, ImageItems, arranged
from gan_core.data.sources.tar_members import TarTable, packed_members, tar_member, tar_table
from gan_core.data.sources.zip_members import ZipTable, zip_member, zip_table
from gan_core.errors import DataError


class _ImageArchive(ImageItems):
    def part(self, split: str, start: int, stop: int) -> Iterator[Example | Bad]:
        with Files(self.url).open() as archive:  # once for all of them
            for item in self.image_index().splits.get(split, ())[start:stop]:
                try:
                    yield self.example(int(item), self._bytes(archive, int(item)))
                except DataError as error:
                    yield Bad(self.name_of(item), str(error))

    def read(self, item: Any) -> Example:
        with Files(self.url).open() as archive:
            return self.example(int(item), self._bytes(archive, int(item)))

    @abstractmethod
    def _bytes(self, archive: IO[bytes], item: int) -> bytes:
        """An item's file.  DataError, with the reason alone, when it cannot be read."""


class ImageZip(_ImageArchive):
    """Images in a zip file, each read where it lies."""

    source: Literal["image_zip"] = "image_zip"

    def index(self) -> ImageIndex:
        with Files(self.url).open() as archive:
            paths, table = zip_table(archive, self.url, self.limits)
        return replace(arranged(self, paths), table=table)

    def _bytes(self, archive: IO[bytes], item: int) -> bytes:
        return zip_member(archive, cast(ZipTable, self.image_index().table)[item], self.limits)


class ImageTar(_ImageArchive):
    """Images in a tar file, each read where it lies; a compressed one (gzip, bzip2, xz) is read from its start."""

    source: Literal["image_tar"] = "image_tar"

    def index(self) -> ImageIndex:
        with Files(self.url).open() as archive:
            paths, table = tar_table(archive, self.url, self.limits)
        return replace(arranged(self, paths), table=table)

    def splits(self) -> Mapping[str, int]:
        return {} if self._table().compressed else super().splits()

    def examples(self, split: str) -> Iterator[Example | Bad]:
        if not self._table().compressed:
            yield from super().examples(split)
            return
        wanted = {int(self._table().offsets[item]): int(item) for item in self.image_index().splits.get(split, ())}
        with Files(self.url).open() as archive:
            for offset, data in packed_members(archive, self.url, self.limits, wanted):
                item = wanted.pop(offset)
                try:
                    yield self.example(item, data)
                except DataError as error:
                    yield Bad(self.name_of(item), str(error))
        if wanted:
            raise DataError(f"{self.url}: has changed while it was read; start again")

    def _bytes(self, archive: IO[bytes], item: int) -> bytes:
        table = self._table()
        if not table.compressed:
            return tar_member(archive, table, item, self.limits)
        return next(data for _, data in packed_members(archive, self.url, self.limits, {int(table.offsets[item])}))

    def _table(self) -> TarTable:
        return cast(TarTable, self.image_index().table)
