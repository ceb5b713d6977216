"""Clips of a fixed number of frames: animations, films, and folders of numbered images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gan_core.config import Count
from gan_core.data.decode import decode_image, is_image
from gan_core.data.items import Index, ItemSource
from gan_core.data.source import Example
from gan_core.data.sources.folders import NO_CLASS, dealt, groups_of, labelled, placed, with_suffix
from gan_core.data.sources.frames import (
    ANIMATIONS,
    FILMS,
    animation_frames,
    animation_length,
    film_frames,
    film_times,
    refuse_large,
    stacked,
    too_short,
)
from gan_core.data.sources.opened import bytes_of, opened
from gan_core.errors import DataError

Item = tuple[str, int, int | None]  # the file or folder, the number of the clip's first frame, the label


class Video(ItemSource):
    """Clips of films (GIF, WebP, APNG, MP4, WebM, AVI) or of folders of frames.

    A clip's class is the first folder below the split's.  All clips of one video are in one split.
    """

    source: Literal["video"] = "video"
    frames: Count = Field(16, description="of a clip")
    every: Count = Field(1, description="takes every so many-th frame")
    clips: Literal["first", "all"] = Field("first", description="of a video: its first clip, or all")
    layout: Literal["files", "folders"] | None = Field(None, description=(
        f"files: {', '.join((*ANIMATIONS, *FILMS))} are videos; folders: a folder of images is one; null: files, where "
        "there are any"))

    def index(self) -> Index:
        videos = list(_videos(self))
        splits, rests = placed(videos)
        class_names, labels = labelled(groups_of(rests))
        by_split = dealt(list(zip(videos, labels, strict=True)), splits, videos, self.deal)
        items: dict[str, list[Item]] = {
            split: [(video, start, label) for video, label in found for start in self._starts(video)]
            for split, found in by_split.items()}
        if (count := sum(map(len, items.values()))) > self.limits.items:
            raise DataError(f"{self.url}: gives {count:,} clips, more than limits.items={self.limits.items:,}; "
                            "clips: first gives fewer")
        return Index(items, class_names)

    def read(self, item: Item) -> Example:
        video, start, label = item
        if label == NO_CLASS:
            raise DataError("lies in no class folder, as others do; move it into one")
        wanted = range(start, start + self.frames * self.every, self.every)
        return Example(label=label, video=self._frames(video, wanted), where=self.name_of(item))

    def name_of(self, item: Item) -> str:
        video, start, _ = item
        return video or '.' if self.clips == "first" else f"{video}, frame {start}"

    def _frames(self, video: str, wanted: Sequence[int]) -> NDArray[np.uint8]:
        if images := _videos(self)[video]:
            return self._folder_frames(images, wanted)
        with opened(self.url).open(video) as handle:
            if video.lower().endswith(ANIMATIONS):
                return animation_frames(handle, wanted, self.limits)
            return film_frames(handle, wanted, self.limits, _times(self, video) if wanted[0] else ())

    def _folder_frames(self, images: Sequence[str], wanted: Sequence[int]) -> NDArray[np.uint8]:
        if len(images) <= wanted[-1]:
            raise too_short(len(images), wanted)
        found: list[NDArray[np.uint8]] = []
        for path in (images[number] for number in wanted):
            try:
                found.append(decode_image(bytes_of(opened(self.url), path, self.limits), self.limits))
            except DataError as error:
                raise DataError(f"{path}: {error}") from None
            refuse_large(found[0].shape[1], found[0].shape[0], len(wanted), self.limits)
        return stacked(found)

    def _starts(self, video: str) -> range:
        """The first frames of a video's clips; 0 where none is whole, so that it is reported when read."""
        if self.clips == "first":
            return range(1)
        reach = (self.frames - 1) * self.every + 1
        return range(0, max(1, self._length(video) - reach + 1), self.frames * self.every)

    def _length(self, video: str) -> int:
        if images := _videos(self)[video]:
            return len(images)
        try:
            if not video.lower().endswith(ANIMATIONS):
                return len(_times(self, video))
            with opened(self.url).open(video) as handle:
                return animation_length(handle)
        except DataError:
            return 0


@lru_cache(maxsize=2)
def _videos(source: Video) -> dict[str, list[str]]:
    """What the set holds, in order: videos, and of each that is a folder its images in order of their numbers."""
    files = opened(source.url)
    paths = [file.path for file in files.list(source.limits.items)]
    films = with_suffix(paths, (*ANIMATIONS, *FILMS))
    if source.layout == "files" or (source.layout is None and films):
        found: dict[str, list[str]] = {film: [] for film in films}
    else:
        found = {}
        for path in filter(is_image, paths):
            found.setdefault(path.rpartition("/")[0], []).append(path)
        found = {folder: sorted(images, key=_by_number) for folder, images in sorted(found.items())}
    if not found:
        raise DataError(f"{source.url}: holds no {', '.join((*ANIMATIONS, *FILMS))}, and no folders of images")
    return found


def _by_number(path: str) -> tuple[int, str]:
    """Frame 2 before frame 10: by the last number in the name."""
    numbers = re.findall(r"\d+", path.rpartition("/")[2].rpartition(".")[0])
    return (int(numbers[-1][-18:]) if numbers else -1, path)


@lru_cache(maxsize=4)  # the clips of one film are read one after the other
def _times(source: Video, film: str) -> tuple[int | None, ...]:
    with opened(source.url).open(film) as handle:
        return film_times(handle)
