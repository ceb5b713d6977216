"""Images to look at: pixel levels, sample grids, and pictures that move."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
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
    from PIL import Image  # not for a plan, which draws nothing

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


def pictured(images: NDArray[np.uint8], channels: int, indices: int = 0) -> NDArray[np.uint8]:
    """[n, C, H, W] as images of so many channels, 1 or 3, that can stand in a grid with others.

    indices: how many classes, where pixels are class indices; each then is a hue of its own, and none of them black.
    """
    if not indices:
        return images if len(images[0]) == channels else _in_channels(images, channels)
    from PIL import Image

    hues = np.stack([np.arange(indices) * 255 // indices, np.full(indices, 150), np.full(indices, 230)], 1)
    palette = np.zeros((256, 3), np.uint8)
    palette[:indices] = np.asarray(Image.fromarray(hues.astype(np.uint8)[None], "HSV").convert("RGB"))[0]
    if channels == 1:
        palette[:] = 0
        palette[:indices] = (32 + np.arange(indices) * 223 // max(indices - 1, 1))[:, None]
    return _in_channels(palette[images[:, 0]].transpose(0, 3, 1, 2), channels)


def _in_channels(images: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    if channels == 3:
        return np.repeat(images[:, :1], 3, axis=1) if images.shape[1] < 3 else images[:, :3]
    grey: NDArray[np.uint8] = images[:, :3].mean(axis=1, keepdims=True).astype(np.uint8)
    return grey


def heat(image: NDArray[np.uint8], rebuilt: NDArray[np.uint8], most: float) -> NDArray[np.uint8]:
    """Where an image differs from another: [C, H, W] uint8 in grey, red over it, [3, H, W].

    most: the mean absolute difference of a pixel, in levels, from which on it is red altogether.
    """
    apart = np.abs(image.astype(np.float64) - rebuilt).mean(axis=0)
    share = np.clip(apart / max(most, 1.0), 0, 1)
    grey = image.mean(axis=0) / 2  # darkened, so that red stands out on white too
    mixed = grey * (1 - share) + np.array([255.0, 40.0, 0.0])[:, None, None] * share
    levels: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return levels


def enlarged(image: NDArray[np.uint8], side: int = LONG_SIDE) -> Image.Image:
    """[C, H, W] uint8 as a picture, enlarged by a whole factor up to about `side` pixels; C is 1 (grey) or 3 (RGB)."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)))
    factor = max(1, side // max(picture.size))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def gif(frames: Sequence[Image.Image], milliseconds: int) -> bytes:
    """A GIF that goes round for ever, each frame shown so long."""
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)
    return file.getvalue()
