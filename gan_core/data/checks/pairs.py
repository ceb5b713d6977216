"""Pairs of images: of one size, and not the same picture twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gan_core.data.checks.concern import Seen, Terms
from gan_core.data.checks.report import Finding, Named, plural

TOO_MANY = 0.5


class Pairs:
    """Pairs whose images are equal, and pairs that do not lie on each other after the transforms."""

    def __init__(self) -> None:
        self._pairs = 0
        self._equal, self._misaligned = Named(), Named()

    def add(self, seen: Seen) -> None:
        if seen.raw.image is None or seen.raw.image_b is None:
            return
        self._pairs += 1
        if np.array_equal(seen.raw.image, seen.raw.image_b):
            self._equal.add(seen.name)
        a, b = seen.example.image, seen.example.image_b
        if a is not None and b is not None and a.shape[:2] != b.shape[:2]:
            self._misaligned.add(seen.name)

    def findings(self, terms: Terms) -> Iterator[Finding]:
        if count := self._equal.count:
            yield Finding("refuse" if count > TOO_MANY * self._pairs else "warn", "identical_pairs", str(self._equal),
                          f"{plural(count, 'pair')} of {self._pairs:,} of twice the same image",
                          "check that A and B come from different folders")
        if count := self._misaligned.count:
            yield Finding("refuse", "misaligned_pairs", str(self._misaligned),
                          f"{plural(count, 'pair')} of {self._pairs:,} of which A and B differ in height or width",
                          "add prepare.transforms: [{resize: …}], which brings both to one size")
