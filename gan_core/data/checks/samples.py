"""A few examples of each class, chosen at random but the same every time, and small enough to keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gan_core.data.checks.concern import Seen, Terms
from gan_core.data.checks.report import Finding
from gan_core.data.source import Example

CLASSES, OF_EACH = 20, 10
LARGEST_SIDE = 128  # pixels kept of an image
LONGEST_AUDIO = 200_000  # samples kept of a recording
LONGEST_TEXT = 400  # tokens


class Samples:
    """Of each of the 20 lowest labels the training examples whose rows have the lowest hashes."""

    def __init__(self) -> None:
        self._kept: dict[int | None, list[tuple[int, Example]]] = {}

    def add(self, seen: Seen) -> None:
        if seen.split != "train":
            return
        label = None if seen.example.label is None else int(seen.example.label)
        if label not in self._kept and not self._make_room(label):
            return
        kept = self._kept.setdefault(label, [])
        rank = int.from_bytes(blake2b(str(seen.row).encode(), digest_size=8).digest(), "little")
        most = OF_EACH if label is not None else OF_EACH * CLASSES // 2
        if len(kept) < most or rank < kept[-1][0]:
            kept.append((rank, reduce(seen.example)))
            kept.sort(key=lambda entry: entry[0])
            del kept[most:]

    def _make_room(self, label: int | None) -> bool:
        labels = [known for known in self._kept if known is not None]
        if label is None or len(labels) < CLASSES:
            return True
        if label > max(labels):
            return False
        del self._kept[max(labels)]
        return True

    def chosen(self) -> Mapping[int | None, tuple[Example, ...]]:
        """Examples by label, ascending; those without one last."""
        labels = sorted(self._kept, key=lambda label: (label is None, label or 0))
        return {label: tuple(example for _, example in self._kept[label]) for label in labels}

    def findings(self, terms: Terms) -> Iterator[Finding]:
        return iter(())


def reduce(example: Example) -> Example:
    """The example at the size of a thumbnail; of a video its first, middle and last frame."""
    changes: dict[str, Any] = {name: _thumbnail(value) for name in ("image", "image_b")
                               if (value := getattr(example, name)) is not None}
    if example.video is not None:
        frames = example.video[[0, len(example.video) // 2, len(example.video) - 1]]
        changes["video"] = np.stack([_thumbnail(frame) for frame in frames])
    if example.audio is not None:
        changes["audio"] = example.audio[..., :LONGEST_AUDIO].copy()
    if example.tokens is not None:
        changes["tokens"] = example.tokens[:LONGEST_TEXT].copy()
    return replace(example, **changes)


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    flat = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    if max(flat.shape[:2]) <= LARGEST_SIDE:
        return flat.copy()  # what the source yields may be a view of much more
    picture = Image.fromarray(flat)
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return np.asarray(picture)
