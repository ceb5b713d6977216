"""Small image files made for a test."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gan_core.data.source import SPLITS, Bad, Example, Source


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(seed: int = 0, height: int = 6, width: int = 5, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def png(seed: int = 0) -> bytes:
    return encoded(noise(seed))


def tree(*paths: str) -> dict[str, bytes]:
    """A different image at each path."""
    return {path: png(seed) for seed, path in enumerate(paths)}


def write(root: Path, files: Mapping[str, bytes]) -> str:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return str(root)


def everything(source: Source) -> dict[str, list[Example | Bad]]:
    return {split: list(source.examples(split)) for split in SPLITS}


def good(source: Source) -> list[Example]:
    found = [example for examples in everything(source).values() for example in examples]
    assert not [example for example in found if isinstance(example, Bad)]
    return [example for example in found if isinstance(example, Example)]


def labels_by_name(source: Source) -> dict[str, str]:
    """The class of each file, by its name."""
    names = source.facts().get("class_names", [])
    return {example.where: names[example.label] for example in good(source) if example.label is not None}
