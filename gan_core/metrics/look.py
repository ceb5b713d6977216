"""Images made and seen a block at a time, so that any number of processes can share the work.

    blocks = generator.inputs(10_000, BLOCK, seed=0)
    seen = joined(map(partial(look, make=generator.images_of, networks=networks), blocks), 10_000)

What comes of an image does not depend on who looks at its block: blocks are whole multiples of the images that a
generator makes, and a network sees, at a time, and a network works on one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.data.shards import Split

BLOCK = 256

Images = NDArray[Any]
"""uint8 [n, C, H, W], or examples of another kind as they are stored."""
Features = NDArray[Any]
See = Callable[[Images], Features]
Rows = dict[str, NDArray[Any]]
"""A generator's inputs by name, a row for each image."""
Block = Rows | Images
"""A generator's inputs, or images that are there: [≤ BLOCK, …] each."""


@dataclass(frozen=True, eq=False)
class Looked:
    """images: where they were made.  features: [n, d] by the network's name."""

    images: Images | None = None
    features: Mapping[str, Features] = field(default_factory=dict)


def look(block: Block, make: Callable[[Rows], Images] | None, networks: Mapping[str, See]) -> Looked:
    """What is made of one block, and how the networks see it.  make: needed for a block of inputs."""
    if isinstance(block, np.ndarray):
        return Looked(None, {name: see(block) for name, see in networks.items()})
    assert make is not None, "inputs are those of a generator"
    images = make(block)
    return Looked(images, {name: see(images) for name, see in networks.items()})


def joined(parts: Iterable[Looked], n: int) -> Looked:
    """All n images and features of blocks in their order, each copied once."""
    images: Images | None = None
    features: dict[str, Features] = {}
    done = 0
    for part in parts:
        if not done:
            images = None if part.images is None else np.empty((n, *part.images.shape[1:]), part.images.dtype)
            features = {name: np.empty((n, *rows.shape[1:]), rows.dtype) for name, rows in part.features.items()}
        count = 0
        for whole, rows in [(images, part.images), *((features[name], part.features[name]) for name in features)]:
            if whole is not None and rows is not None:
                whole[done : done + len(rows)] = rows
                count = len(rows)
        done += count
    assert done == n, f"{done} of {n} examples were looked at"
    return Looked(images, features)


def blocks_of(split: Split, n: int) -> Iterator[Images]:
    """The first n images of a split in stored order, BLOCK at a time."""
    for start in range(0, n, BLOCK):
        yield split.gather(np.arange(start, min(start + BLOCK, n)))
