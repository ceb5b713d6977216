"""Differentiable augmentation of all that a discriminator sees (Zhao et al. 2020, arXiv:2006.10738, section 3.3).

Each transform is done to every image, by amounts of its own.  Real and generated images want draws of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gan_core.recipes.draw import Draw

REACH = 8  # images move by up to 1/8 of their side


def diffaugment(images: Tensor, draw: Draw, policy: Sequence[str] = ("color", "translation", "cutout")) -> Tensor:
    """The images [n, C, H, W], −1 to 1, changed; values may leave that range.  draw: of these n rows.

    policy: any of color, translation and cutout, done in this order whatever theirs.
    """
    for name, transform in TRANSFORMS.items():
        if name in policy:
            images = transform(images, draw.within(name))
    return images


def apart(images: Tensor) -> tuple[Tensor, Tensor]:
    """Grey or red, green and blue, [n, 1 or 3, H, W]; and alpha, the last of 2 or 4 channels, [n, 0 or 1, H, W]."""
    colours = 3 if images.shape[1] > 2 else 1
    return images[:, :colours], images[:, colours:]


def square(centres: Tensor, height: int, width: int) -> Tensor:
    """Where a square of half the images' sides lies, [n, 1, H, W] bool; at an edge it sticks out.

    centres: [n, 2] down and right, from 0 to 1, 1 left out.
    """
    rows, columns = (_stretch(centre, side) for centre, side in zip(centres.unbind(1), (height, width), strict=True))
    return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)


def _stretch(centre: Tensor, side: int) -> Tensor:
    """[n, side] bool: half of the side around each centre [n]."""
    size = (side + 1) // 2
    start = (centre * (side + 1 - size % 2)).floor() - size // 2
    index = torch.arange(side, device=centre.device) - start.unsqueeze(1)
    return (index >= 0) & (index < size)


def _color(images: Tensor, draw: Draw) -> Tensor:
    """Brightness by ± 0.5, saturation by 0 to 2, contrast by 0.5 to 1.5, in this order."""
    brightness, saturation, contrast = draw.uniform("amounts", 3, 1, 1, 1).unbind(1)
    colours, alpha = apart(images)
    colours = colours + (brightness - 0.5)
    grey = colours.mean(1, keepdim=True)
    colours = grey + 2 * saturation * (colours - grey)
    mean = colours.mean((1, 2, 3), keepdim=True)
    return torch.cat([mean + (contrast + 0.5) * (colours - mean), alpha], dim=1)


def _translation(images: Tensor, draw: Draw) -> Tensor:
    """Up to 1/8 of the side along each axis, zeros moving in."""
    for axis in (2, 3):
        reach = (images.shape[axis] + REACH // 2) // REACH  # the nearest whole number of pixels
        images = _moved(images, draw.integers(f"axis {axis}", 2 * reach + 1) - reach, axis)
    return images


def _moved(images: Tensor, by: Tensor, axis: int) -> Tensor:
    """by: [n] int64, towards the axis' end."""
    side = images.shape[axis]
    index = torch.arange(side, device=by.device) - by.unsqueeze(1)
    shape = [len(index), 1, 1, 1]
    shape[axis] = side
    index = index.view(shape)
    there = (index >= 0) & (index < side)
    return images.gather(axis, index.clamp(0, side - 1).expand_as(images)).masked_fill(~there, 0)


def _cutout(images: Tensor, draw: Draw) -> Tensor:
    """Zeros in a square of half the side."""
    return images.masked_fill(square(draw.uniform("centres", 2), *images.shape[2:]), 0)


TRANSFORMS = {"color": _color, "translation": _translation, "cutout": _cutout}
