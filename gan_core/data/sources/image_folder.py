"""A folder of image files at any depth; folders name splits and classes."""

from __future__ import annotations

from typing import Any, Literal

from gan_core.data.source import Example
from gan_core.data.sources.image_classes import ImageIndex, ImageItems, arranged
from gan_core.data.sources.opened import bytes_of, opened
from gan_core.errors import DataError

READERS = {".zip": "image_zip", ".tar": "image_tar", ".tgz": "image_tar", ".gz": "image_tar", ".npz": "npz",
           ".npy": "npy", ".h5": "hdf5", ".hdf5": "hdf5", ".parquet": "parquet", ".csv": "csv"}


class ImageFolder(ImageItems):
    """Images below one folder, in [train|validation|test/][class/]…"""

    source: Literal["image_folder"] = "image_folder"

    def index(self) -> ImageIndex:
        files = opened(self.url)
        if files.is_file:
            reader = next((name for suffix, name in READERS.items() if self.url.lower().endswith(suffix)), None)
            raise DataError(f"{self.url}: is a file, not a folder; "
                            f"{f'source: {reader} reads it' if reader else 'name the folder that it lies in'}")
        return arranged(self, [file.path for file in files.list(self.limits.items)])

    def read(self, item: Any) -> Example:
        return self.example(int(item), bytes_of(opened(self.url), self.name_of(item), self.limits))
