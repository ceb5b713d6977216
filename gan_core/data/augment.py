"""What is done to real images as they are drawn.  Pure: the random numbers are arguments."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_core.config import Augment
from gan_core.data.shards import IMAGE
from gan_core.errors import ConfigError


def refuse_other_kinds(augment: Augment, kind: str) -> None:
    """ConfigError when something is to be done to images, and the data holds none."""
    for name, value in augment:
        if value and kind != IMAGE:
            raise ConfigError(f"train.augment.{name}={value} is done to images, and this data set holds {kind}; "
                              f"train.augment.{name}=0 works")


def flipped(images: Tensor, chosen: Tensor) -> Tensor:
    """Left-right mirror images of the chosen ones.  images: [n, C, H, W]; chosen: [n] bool."""
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(-1), images)


def shifted(images: Tensor, by: Tensor) -> Tensor:
    """Images moved by whole pixels, edges reflected.  images: [n, C, H, W]; by: [n, 2] int64, down and right."""
    count, channels, height, width = images.shape
    rows = _reflected(torch.arange(height, device=by.device) - by[:, :1], height)
    columns = _reflected(torch.arange(width, device=by.device) - by[:, 1:], width)
    moved = images.gather(2, rows.view(count, 1, height, 1).expand(count, channels, height, width))
    return moved.gather(3, columns.view(count, 1, 1, width).expand(count, channels, height, width))


def _reflected(index: Tensor, size: int) -> Tensor:
    """Indices beyond an edge, counted back from it: −1 is 1, size is size − 2."""
    period = max(1, 2 * (size - 1))
    index = index.remainder(period)
    return torch.minimum(index, period - index) if size > 1 else torch.zeros_like(index)
