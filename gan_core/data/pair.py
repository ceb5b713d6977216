"""Pairs made of single images: what pix2pix is shown on where no pairs are at hand.

Each is a pure function of the image, in whole numbers, so that it is the same on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gan_core.errors import DataError

Pixels = NDArray[np.uint8]  # [H, W] or [H, W, C]
STEP = 96  # levels from one side of a pixel to the other, from which there is an edge


def edges(image: Pixels, parts: int) -> Pixels:
    """[H, W] of 255 where brightness steps by more than a `parts`-th of 384 levels, else 0.

    Sobel's operator; at the border pixels are repeated.
    """
    grey = np.pad(_grey(image).astype(np.int32), 1, mode="edge")
    across = grey[:, 2:] - grey[:, :-2]
    down = grey[2:] - grey[:-2]
    x = across[:-2] + 2 * across[1:-1] + across[2:]
    y = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    least = 4 * 4 * STEP // parts  # the operator's weights add up to 4
    return np.where(x * x + y * y > least * least, 255, 0).astype(np.uint8)


def small(image: Pixels, parts: int) -> Pixels:
    """The image as it is with sides `parts` times smaller, in its own size again: squares of one colour."""
    height, width = image.shape[:2]
    if min(height, width) < parts:
        raise DataError(f"is {height}x{width}, which is not {parts} times smaller; a smaller `parts` works")
    picture = Image.fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    less = picture.resize((-(-width // parts), -(-height // parts)), Image.Resampling.BOX)
    again = np.asarray(less).repeat(parts, 0).repeat(parts, 1)[:height, :width]
    return np.ascontiguousarray(again.reshape(image.shape))


def levels(image: Pixels, parts: int) -> Pixels:
    """[H, W] of class indices 0 … parts − 1, by brightness: as a map of classes would be."""
    return (_grey(image).astype(np.int32) * parts // 256).astype(np.uint8)


MADE = {"edges": edges, "small": small, "levels": levels}


def _grey(image: Pixels) -> Pixels:
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels in (2, 4):
        raise DataError("has transparency, of which no pair is made; add {background: white} before {pair: …}")
    return image.reshape(image.shape[:2]) if channels == 1 else np.asarray(Image.fromarray(image).convert("L"))
