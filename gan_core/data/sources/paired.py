"""Pairs of images, as pix2pix has them: halves of one picture, files of one name in two folders, or two columns."""

from __future__ import annotations

from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gan_core.data.decode import decode_image, is_image
from gan_core.data.files import Limits
from gan_core.data.items import Index, ItemSource
from gan_core.data.source import Example
from gan_core.data.sources.domains import in_domains
from gan_core.data.sources.folders import dealt, placed
from gan_core.data.sources.opened import bytes_of, matching, opened
from gan_core.data.sources.table import Arrow, Parquet
from gan_core.data.sources.tables import SUFFIXES
from gan_core.errors import DataError


class Paired(ItemSource):
    """Pairs of images, side by side or in two folders or columns: `image` is A, `image_b` is B.

    The other way about by `direction: b_to_a`.
    """

    source: Literal["paired"] = "paired"
    layout: Literal["side_by_side", "two_folders", "columns"] = Field("side_by_side", description=(
        "side_by_side: A is the left half of a picture, B the right; two_folders: files of one name, whatever their "
        "suffix; columns: of a Parquet or Arrow table"))
    direction: Literal["a_to_b", "b_to_a"] = "a_to_b"
    a: str | None = Field(None, description="folder or column of A; null: 'A', or the column 'image'")
    b: str | None = Field(None, description="folder or column of B; null: 'B', or the column 'image_b'")

    def index(self) -> Index:
        if self.layout == "columns":
            return _table(self).index()
        paths = [file.path for file in opened(self.url).list(self.limits.items)]
        return self._two_folders(paths) if self.layout == "two_folders" else self._pictures(paths)

    def read(self, item: Any) -> Example:
        if self.layout == "columns":
            return _table(self).read(item)
        first, second, reason = item
        if reason:
            raise DataError(reason)
        a, b = _halves(self._image(first)) if self.layout == "side_by_side" else (
            self._image(first), self._image(second))
        swap = self.direction == "b_to_a"
        return Example(image=b if swap else a, image_b=a if swap else b, where=self.name_of(item))

    def name_of(self, item: Any) -> str:
        return _table(self).name_of(item) if self.layout == "columns" else item[0] or item[1]

    def fingerprint(self) -> str:
        return _table(self).fingerprint() if self.layout == "columns" else super().fingerprint()

    def _pictures(self, paths: list[str]) -> Index:
        images = [path for path in paths if is_image(path)]
        splits, _ = placed(images)
        return Index(dealt([(path, "", "") for path in images], splits, images, self.deal))

    def _two_folders(self, paths: list[str]) -> Index:
        names = (self.a or "A", self.b or "B")
        pairs: dict[tuple[str, str], list[str]] = {}
        again: list[tuple[tuple[str, str], tuple[str, str, str]]] = []
        for place in in_domains(self.url, paths, names):
            key = (place.split or "train", str(PurePosixPath(place.inner).with_suffix("")))
            pair = pairs.setdefault(key, ["", ""])
            if other := pair[place.domain]:
                again.append((key, (place.path, "", f"has the name of {other}, but for its suffix; remove one")))
            else:
                pair[place.domain] = place.path
        whole = [(key, (a, b, _lacking(key[1], a, b, names))) for key, (a, b) in pairs.items()]
        keys, items = zip(*sorted([*whole, *again]), strict=True)
        return Index(dealt(items, [split for split, _ in keys], [name for _, name in keys], self.deal))

    def _image(self, path: str) -> NDArray[np.uint8]:
        try:
            return decode_image(bytes_of(opened(self.url), path, self.limits), self.limits)
        except DataError as error:
            raise DataError(f"{path}: {error}" if self.layout == "two_folders" else str(error)) from None


@lru_cache(maxsize=4)
def _table(source: Paired) -> Parquet | Arrow:
    columns = (source.a or "image", source.b or "image_b")
    image, image_b = columns if source.direction == "a_to_b" else reversed(columns)
    kind = Arrow if _is_arrow(source.url) else Parquet
    return kind(url=source.url, image=image, image_b=image_b, deal=source.deal, limits=source.limits)


def _halves(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    width = picture.shape[1]
    if width % 2:
        raise DataError(f"is {width} pixels wide, which gives no two halves; layout: two_folders reads pairs of files")
    return picture[:, : width // 2], picture[:, width // 2 :]


def _lacking(name: str, a: str, b: str, folders: tuple[str, str]) -> str:
    """Why a pair is none; '' where both are there."""
    return "" if a and b else f"has no partner: no '{name}' lies in {folders[0] if b else folders[1]}"


def _is_arrow(url: str) -> bool:
    """Whether a table is Arrow and not Parquet, by its suffix or, of a folder, by what lies in it."""
    if url.partition("::")[0].lower().endswith(SUFFIXES["parquet"]):
        return False
    _, found = matching(url, Limits().items)
    return any(file.path.lower().endswith(SUFFIXES["arrow"]) for file in found)
