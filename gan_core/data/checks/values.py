"""Pixels: images without content, and levels that do not use the range of 8 bits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gan_core.data.checks.concern import Seen, Terms
from gan_core.data.checks.report import Finding, Named, Severity, plural

FIELDS = ("image", "image_b", "video")
NEAR = 3  # levels from black or white that still count as such
BLANK = 0.999  # share of an image's levels that are black, or white, from which on nothing is to be seen
TOO_MANY = 0.5  # share of images without content that is no accident
MEANT_AS = {1: "0 and 1", 15: "4-bit", 16: "0 … 16", 31: "5-bit", 63: "6-bit"}  # by the highest level of a whole set


def levels_of(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """[256] int64: how often each level occurs."""
    counts: NDArray[np.int64] = np.bincount(pixels.ravel(), minlength=256)
    return counts


def by_pixel(name: str, value: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image, or all frames of a video, as [pixels, C]."""
    axes = 4 if name == "video" else 3
    return value.reshape(-1, value.shape[-1] if value.ndim == axes else 1)


def colours(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[pixels, C] without alpha."""
    return pixels[:, :-1] if pixels.shape[1] in (2, 4) else pixels


def is_constant(pixels: NDArray[np.uint8]) -> bool:
    """Whether all of [pixels, C] are the same."""
    return bool((pixels == pixels[0]).all())


class Values:
    """Images without content after the transforms, and the levels that the source yields, [256] a split."""

    def __init__(self) -> None:
        self.levels: dict[str, NDArray[np.int64]] = {}
        self.empty_rows: set[int] = set()
        self._images = 0
        self._constant, self._black, self._white, self._clear = Named(), Named(), Named(), Named()

    def add(self, seen: Seen) -> None:
        raw = {name: by_pixel(name, value) for name, value in seen.raw.tensors().items() if name in FIELDS}
        if not raw:
            return
        self._images += 1
        counts = {name: levels_of(colours(pixels)) for name, pixels in raw.items()}
        total = self.levels.setdefault(seen.split, np.zeros(256, np.int64))
        for count in counts.values():
            total += count
        stored = raw
        if seen.example is not seen.raw:
            stored = {name: by_pixel(name, value) for name, value in seen.example.tensors().items() if name in FIELDS}
            counts = {name: levels_of(colours(pixels)) for name, pixels in stored.items()}
        empty = next((named for name in stored if (named := self._emptiness(stored[name], counts[name]))), None)
        if empty is None and any(_is_clear(pixels) for pixels in raw.values()):
            empty = self._clear
        if empty is not None:
            empty.add(seen.name)
            self.empty_rows.add(seen.row)

    def _emptiness(self, pixels: NDArray[np.uint8], counts: NDArray[np.int64]) -> Named | None:
        if np.count_nonzero(counts) <= pixels.shape[1] and is_constant(pixels):
            return self._constant
        if pixels.shape[1] in (2, 4) and not is_constant(pixels[:, -1:]):
            return None  # the shape is in the alpha channel
        size = int(counts.sum())
        ends = ((self._black, counts[:NEAR]), (self._white, counts[-NEAR:]))
        return next((named for named, end in ends if end.sum() >= BLANK * size), None)

    def findings(self, terms: Terms) -> Iterator[Finding]:
        unscaled = list(self._range())
        yield from unscaled
        for kind, what, named in (
            ("constant_images", "of one colour all over", self._constant),
            ("blank_images", f"black but for less than {1 - BLANK:.1%} of the pixels",
             Named() if unscaled else self._black),
            ("blank_images", f"white but for less than {1 - BLANK:.1%} of the pixels", self._white),
        ):
            if named.count:
                yield Finding(self._severity(named), kind, str(named),
                              f"{plural(named.count, 'image')} of {self._images:,} {what}", "take them out of the set")
        if self._clear.count:
            yield Finding(self._severity(self._clear), "transparent_images", str(self._clear),
                          f"{plural(self._clear.count, 'image')} of {self._images:,} with alpha 0 in every pixel",
                          "alpha is 255 where an image is opaque; it may be inverted, or the images empty")

    def _severity(self, named: Named) -> Severity:
        return "refuse" if named.count > TOO_MANY * self._images else "warn"

    def _range(self) -> Iterator[Finding]:
        levels = sum(self.levels.values(), np.zeros(256, np.int64))
        present = np.flatnonzero(levels)
        if not len(present) or self._constant.count == self._images:
            return
        highest = int(present[-1])
        if highest <= max(MEANT_AS):
            meant = next(text for most, text in MEANT_AS.items() if highest <= most)
            most = next(most for most in MEANT_AS if highest <= most)
            yield Finding("refuse" if most == 1 else "warn", "value_range", "",
                          f"the levels are 0 … {highest} where 255 is white: these look like {meant} values",
                          f"multiply by 255 / {most} in the source")


def _is_clear(pixels: NDArray[np.uint8]) -> bool:
    return pixels.shape[1] in (2, 4) and not pixels[:, -1].any()
