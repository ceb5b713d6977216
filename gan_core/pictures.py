"""Images to look at: pixel levels, sample grids, and pictures that move."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GAP = 1  # pixels of background between two images, before enlarging
LONG_SIDE = 64  # small images are enlarged by a whole factor up to about this many pixels
COLOURS = (1, 3)  # channels that a picture may have: grey or RGB


def to_uint8(images: NDArray[np.floating]) -> NDArray[np.uint8]:
    """float −1 … 1 to uint8 0 … 255, the nearest level; what lies outside is clipped."""
    levels: NDArray[np.uint8] = np.clip(np.rint((images + 1) * 127.5), 0, 255).astype(np.uint8)
    return levels


def grid(images: NDArray[np.uint8], columns: int) -> Image.Image:
    """[n, C, H, W] uint8 as one picture, row by row; C is 1 (grey) or 3 (RGB)."""
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, channels), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + GAP) + GAP, (i % columns) * (width + GAP) + GAP
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    picture = Image.fromarray(sheet[..., 0] if channels == 1 else sheet)
    factor = max(1, LONG_SIDE // max(height, width))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def png(picture: Image.Image) -> bytes:
    """The picture as a PNG file's content."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def enlarged(image: NDArray[np.uint8], side: int = LONG_SIDE) -> Image.Image:
    """[C, H, W] uint8 as a picture, enlarged by a whole factor up to about `side` pixels; C is 1 (grey) or 3 (RGB)."""
    picture = Image.fromarray(np.ascontiguousarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)))
    factor = max(1, side // max(picture.size))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def gif(frames: Sequence[Image.Image], milliseconds: int) -> bytes:
    """A GIF that goes round for ever, each frame shown so long."""
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)
    return file.getvalue()
