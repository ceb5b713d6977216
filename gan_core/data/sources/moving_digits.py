"""Clips of images that move on straight lines and bounce off the walls (Srivastava et al. 2015, arXiv:1502.04681).

    data:
      source: moving_digits
      of: {source: fashion_mnist, root: data/fashion}
      size: 56
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from math import pi
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gan_core.config import Count
from gan_core.data.source import Bad, Example, Source
from gan_core.data.sources.digits import Digits
from gan_core.data.sources.two_domains import AnySource
from gan_core.errors import DataError
from gan_core.transforms import Size

Pixels = NDArray[np.uint8]  # [H, W] or [H, W, C]


class MovingDigits(Source):
    """Images of another source, scikit-learn's digits unless it says otherwise, moving in a larger black frame.

    A clip of one image has its label; of two, none.  What is in a clip is a function of these options, the split and
    the clip's number.  Clips of a split show the images of that split of the other source, so that no image is in two.
    """

    source: Literal["moving_digits"] = "moving_digits"
    of: AnySource = Field(Digits(), description="the images that move: a block as under data:",
                          examples=[{"source": "digits"}])
    frames: int = Field(16, ge=2, description="of a clip")
    size: Size = Field(16, description="of a frame: one side of a square, or [height, width]")
    digits: Literal[1, 2] = Field(1, description="images in a clip, the brighter one in front")
    speed: float = Field(1.0, gt=0, allow_inf_nan=False, description="pixels from one frame to the next")
    clips: Count = Field(1, description="of each image, each with a motion of its own")
    seed: int = Field(0, ge=0, description="of the motions, and of the second image")

    def splits(self) -> Mapping[str, int]:
        """So many clips of each image.  DataError where the images can only be read from the start."""
        images = self.of.splits()
        if not images:
            raise DataError(f"data.of: {getattr(self.of, 'source', 'this source')} can only be read from its start, "
                            "and clips are made of images in any order; {source: digits} works")
        return {split: count * self.clips for split, count in images.items()}

    def part(self, split: str, start: int, stop: int) -> Iterator[Example | Bad]:
        stop = min(stop, self.splits().get(split, 0))
        first, last = start // self.clips, -(-stop // self.clips)
        if start < stop:
            for place, image in enumerate(self.of.part(split, first, last), first):
                here = range(max(start, place * self.clips), min(stop, (place + 1) * self.clips))
                yield from (self._clip(split, number, image) for number in here)

    def _clip(self, split: str, number: int, image: Example | Bad) -> Example | Bad:
        """The clip of that number of a split, which shows the image."""
        draw = _draw(self.seed, split, number)
        shown = [image, *(self._another(split, draw) for _ in range(1, self.digits))]
        where = f"clip {number} of {' and '.join(each.where for each in shown if each.where) or split}"
        try:
            video = _in_front([self._moving(_image_of(each), draw) for each in shown])
        except DataError as error:
            return Bad(where, str(error))
        label = image.label if isinstance(image, Example) and self.digits == 1 else None
        return Example(video=video, label=label, where=where)

    def _another(self, split: str, draw: np.random.Generator) -> Example | Bad:
        place = int(draw.integers(self.of.splits()[split]))
        return next(self.of.part(split, place, place + 1))

    def _moving(self, image: Pixels, draw: np.random.Generator) -> Pixels:
        """[T, H, W] or [T, H, W, C]: the image on black, from anywhere in any direction."""
        size = np.array(self.size if isinstance(self.size, tuple) else (self.size, self.size))
        room = size - image.shape[:2]
        if room.min() < 0 or room.max() == 0:
            wanted = 2 * max(image.shape[:2])
            raise DataError(f"data.size={self.size}: an image of {image.shape[0]} by {image.shape[1]} has no room to "
                            f"move in; data.size={wanted} works")
        begin, angle = draw.uniform(0, room), draw.uniform(0, 2 * pi)
        step = self.speed * np.array([np.sin(angle), np.cos(angle)])
        video = np.zeros((self.frames, *size, *image.shape[2:]), np.uint8)
        for frame, (top, left) in zip(video, bounced(begin, step, room, self.frames), strict=True):
            frame[top : top + image.shape[0], left : left + image.shape[1]] = image
        return video

    def facts(self) -> Mapping[str, Any]:
        names = self.of.facts().get("class_names")
        return {"class_names": list(names)} if names and self.digits == 1 else {}

    def fingerprint(self) -> str:
        return hashlib.sha256(f"moving {self.of.fingerprint()}".encode()).hexdigest()


def bounced(begin: NDArray[np.float64], step: NDArray[np.float64], room: NDArray[np.int64],
            frames: int) -> NDArray[np.int64]:
    """Where a point is in each frame, [frames, axes], whole pixels from 0 to the room of each axis.

    It goes on by `step` a frame from `begin`, [axes] each, and its path is mirrored at 0 and at the room.
    """
    straight = begin + np.arange(frames)[:, None] * step
    there_and_back = np.mod(straight, np.maximum(2 * room, 1))
    return np.rint(np.where(room > 0, room - np.abs(room - there_and_back), 0)).astype(np.int64)


def _draw(seed: int, split: str, number: int) -> np.random.Generator:
    """The random numbers of one clip."""
    digest = hashlib.sha256(f"moving digits {seed} {split} {number}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))


def _image_of(item: Example | Bad) -> Pixels:
    """DataError where there is none."""
    if isinstance(item, Bad):
        raise DataError(item.reason)
    if item.image is None:
        raise DataError(f"data.of: holds {', '.join(item.tensors())} and no images; {{source: digits}} works")
    return item.image


def _in_front(clips: Sequence[Pixels]) -> Pixels:
    """The brightest of clips of one shape.  DataError for clips of several."""
    if len({clip.shape for clip in clips}) > 1:
        raise DataError("shows two images of different modes; data.digits=1 works")
    return np.asarray(np.maximum.reduce(clips))
