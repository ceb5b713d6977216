"""Mixtures of Gaussians in the plane, as images of one pixel and two channels, and how much of one a generator makes.

    ring    8 modes on a circle of radius 0.75
    grid    5 × 5 modes, 0.4 apart

in the square from −1 to 1 that generators fill; every mode has a standard deviation of 0.03, so that neighbours are 19
and 13 of them apart.  Stored as uint8, in steps of 2 / 255, a mode is wider by 0.3 %: √(0.03² + (2 / 255)² / 12) is
0.0301.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gan_core.data.source import Example, Source

STD = 0.03
RADIUS, MODES_OF_RING = 0.75, 8
SPACING, SIDE_OF_GRID = 0.4, 5
SPLITS = {"train": 10_240, "test": 2_500}
SHAPE = (2, 1, 1)

Layout = Literal["ring", "grid"]


class Mixture(Source):
    """Points as images [1, 1, 2]; the label is the mode, each as likely."""

    source: Literal["mixture"] = "mixture"
    layout: Layout = "ring"

    def splits(self) -> Mapping[str, int]:
        return SPLITS

    def part(self, split: str, start: int, stop: int) -> Iterator[Example]:
        points, labels = _drawn(self.layout, split)
        stored = np.clip(np.round((points + 1) * 127.5), 0, 255).astype(np.uint8)
        return (Example(stored[i].reshape(1, 1, 2), int(labels[i])) for i in range(start, stop))

    def facts(self) -> Mapping[str, Any]:
        return {"class_names": [str(mode) for mode in range(len(centres(self.layout)))]}

    def fingerprint(self) -> str:
        return f"{self.layout} {STD} {SPLITS}"


class Share(NamedTuple):
    """How much of a mixture samples are.

    modes: how many modes are covered.  high_quality: share of the samples within 3 standard deviations of the mode
    nearest to them; of the mixture itself 1 − exp(−9 / 2) = 0.989.
    """

    modes: int
    high_quality: float


def made_of(points: NDArray[np.floating[Any]], layout: Layout) -> Share:
    """points: [n, 2], 2,500 of them in the literature.

    A mode is covered by one sample of high quality that is nearest to it, as VEEGAN (Srivastava et al. 2017,
    arXiv:1705.07761, section 4.1) and PacGAN (Lin et al. 2018, arXiv:1712.04086, section 4.1) count.
    """
    apart = np.linalg.norm(points[:, None].astype(np.float64) - centres(layout), axis=2)
    nearest, good = apart.argmin(axis=1), apart.min(axis=1) <= 3 * STD
    return Share(len(np.unique(nearest[good])), float(good.mean()))


@cache
def centres(layout: Layout) -> NDArray[np.float64]:
    """[modes, 2]"""
    if layout == "ring":
        angles = 2 * np.pi * np.arange(MODES_OF_RING) / MODES_OF_RING
        return RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    along = SPACING * (np.arange(SIDE_OF_GRID) - (SIDE_OF_GRID - 1) / 2)
    return np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)


@cache
def _drawn(layout: Layout, split: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """points [n, 2] and labels [n] of a split."""
    rng = np.random.default_rng(list(f"{layout} {split}".encode()))
    labels = rng.integers(len(centres(layout)), size=SPLITS[split])
    return centres(layout)[labels] + STD * rng.standard_normal((len(labels), 2)), labels
