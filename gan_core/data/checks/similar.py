"""Near copies of images: recompressed, rescaled, brightened.

Two images look alike when their 64-bit perceptual hashes differ in at most 4 bits (the signs of the 8×8 lowest DCT
coefficients of a 32×32 grey reduction about their median, as in the ImageHash library; in batches it takes a third of
the time or less) and their 8×8 colour reductions correlate at 0.985 or more.  Measured: of 5,000 CIFAR-10 and of
2,720 Omniglot images 1 each has a twin; of copies of them at three quarters of the size 87 % and 94 % are found,
brightened by a tenth all but a few.
Below 32 pixels a side unlike images look alike, and none is called a near copy.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gan_core.data.checks.concern import Seen, Terms
from gan_core.data.checks.copies import FEW
from gan_core.data.checks.reading import Names
from gan_core.data.checks.report import Finding, share
from gan_core.data.source import SPLITS

SMALLEST_SIDE = 32
SIDE, BLOCK = 32, 4  # of the reduction, and of its blocks that make 8×8
BITS = 4
ALIKE = 0.985
MOST_IMAGES = 300_000  # of which hashes and reductions, 200 bytes each, are kept
AT_ONCE = 1024
NEIGHBOURS = 64  # compared with each image in a bucket; more only in buckets of images without detail
BANDS = np.array([0, 13, 26, 39, 52, 64])  # 5 stretches: of hashes that differ in 4 bits one is equal
COSINES = np.cos(np.pi * (2 * np.arange(SIDE) + 1) * np.arange(8)[:, None] / (2 * SIDE)).astype(np.float32)


def reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image as [32, 32, 3], on middle grey where it is transparent."""
    picture = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    if picture.mode in ("LA", "RGBA"):
        clear = picture.convert("RGBA").resize((SIDE, SIDE), Image.Resampling.BOX)
        picture = Image.alpha_composite(Image.new("RGBA", clear.size, (128, 128, 128, 255)), clear)
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX).convert("RGB"))


def perceptual_hashes(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """[n, 32, 32, 3] to [n]: signs of the lowest DCT-II coefficients of the luma about their median."""
    luma = images @ np.array([0.299, 0.587, 0.114], np.float32)
    low = (COSINES @ luma @ COSINES.T).reshape(-1, 64)
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1, bitorder="little").view(np.uint64).ravel()


class Similar:
    """Hash and colour reduction of every image that is large enough, of copies only the first."""

    def __init__(self, names: Names, skip: set[int]) -> None:
        self._names, self._skip = names, skip
        self._known: set[int] = set()
        self._rows, self._splits = array("Q"), array("B")
        self._waiting: list[NDArray[np.uint8]] = []
        self._hashes: list[NDArray[np.uint64]] = []
        self._small: list[NDArray[np.uint8]] = []

    def add(self, seen: Seen, digest: int) -> None:
        image = seen.raw.image
        if image is None or min(image.shape[:2]) < SMALLEST_SIDE or seen.row in self._skip:
            return
        if digest in self._known or len(self._rows) == MOST_IMAGES:
            return
        self._known.add(digest)
        self._rows.append(seen.row)
        self._splits.append(SPLITS.index(seen.split))
        self._waiting.append(reduced(image))
        if len(self._waiting) == AT_ONCE:
            self._take()

    def _take(self) -> None:
        images = np.stack(self._waiting)
        n, blocks = len(images), SIDE // BLOCK
        self._hashes.append(perceptual_hashes(images))
        means = images.reshape(n, blocks, BLOCK, blocks, BLOCK, 3).mean((2, 4), dtype=np.float32)
        self._small.append(np.rint(means).astype(np.uint8).reshape(n, -1))
        self._waiting.clear()

    def findings(self, terms: Terms) -> Iterator[Finding]:
        if self._waiting:
            self._take()
        if not self._hashes:
            return
        splits = np.frombuffer(self._splits, np.uint8)
        twins = _twins(np.concatenate(self._hashes), np.concatenate(self._small), splits)
        for split in SPLITS:
            here = splits == SPLITS.index(split)
            for kind, other, whose in (
                ("near_duplicates", twins.within, "another"),
                ("near_leakage", twins.trained, "a training image"),
            ):
                alike = here & (other >= 0)
                count, total = int(alike.sum()), int(here.sum())
                if count > FEW * total:
                    first = int(np.argmax(alike))
                    pair = " ~ ".join(self._names[int(self._rows[i])] for i in (int(other[first]), first))
                    yield Finding("warn", kind, split, f"{share(count, total)} of the images, {count:,}, are all but "
                                  f"equal to {whose}, such as {pair}",
                                  "look at them; leave one of each if they are copies")


class _Twins:
    """For each image the first one found that looks like it; −1 for none.

    within: an earlier one of the same split.  trained: a training image, for images of the other splits.
    """

    def __init__(self, count: int) -> None:
        self.within = np.full(count, -1, np.int64)
        self.trained = np.full(count, -1, np.int64)


def _twins(hashes: NDArray[np.uint64], small: NDArray[np.uint8], splits: NDArray[np.uint8]) -> _Twins:
    """Multi-index hashing (Norouzi, Punjani & Fleet 2012): images in a bucket share one of five stretches of bits."""
    twins = _Twins(len(hashes))
    for start, stop in pairwise(BANDS.tolist()):
        band = (hashes >> np.uint64(start)) & np.uint64((1 << (stop - start)) - 1)
        order = np.lexsort((hashes, band))
        for offset in range(1, min(NEIGHBOURS, len(order) - 1) + 1):
            left, right = order[:-offset], order[offset:]
            together = band[left] == band[right]
            if not together.any():
                break
            close = together & (np.bitwise_count(hashes[left] ^ hashes[right]) <= BITS)
            _note(twins, *_alike(left[close], right[close], small), splits)
    return twins


def _alike(
    left: NDArray[np.int64], right: NDArray[np.int64], small: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pairs whose reductions correlate."""
    kept = [_correlation(small[left[i : i + AT_ONCE]], small[right[i : i + AT_ONCE]]) >= ALIKE
            for i in range(0, len(left), AT_ONCE)]
    alike = np.concatenate(kept) if kept else np.zeros(0, bool)
    return np.minimum(left[alike], right[alike]), np.maximum(left[alike], right[alike])


def _correlation(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[n, values] and [n, values] to [n]."""
    x, y = a.astype(np.float32), b.astype(np.float32)
    x -= x.mean(1, keepdims=True)
    y -= y.mean(1, keepdims=True)
    length = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    found: NDArray[np.float32] = (x * y).sum(1) / np.maximum(length, 1e-6)
    return found


def _note(twins: _Twins, first: NDArray[np.int64], second: NDArray[np.int64], splits: NDArray[np.uint8]) -> None:
    """Marks the later image of each pair; training images come first."""
    train = SPLITS.index("train")
    same, trained = splits[first] == splits[second], splits[first] == train
    twins.within[second[same]] = first[same]
    leaked = trained & ~same
    twins.trained[second[leaked]] = first[leaked]
