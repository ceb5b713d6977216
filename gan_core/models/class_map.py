"""Images whose pixels are class indices, as semantic maps are, given to networks as one channel a class."""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 255


def one_hot(images: Tensor, indices: int) -> Tensor:
    """[n, 1, H, W] in [−1, 1], of stored bytes 0 … 255, to [n, indices, H, W] of −1 and, at a pixel's own class, 1.

    A pixel whose byte is `indices` or more, as 255 for what is not labelled, is of no class.
    """
    stored = ((images + 1) * (LEVELS / 2)).round()
    classes = torch.arange(indices, device=images.device, dtype=images.dtype)[:, None, None]
    return 2 * (stored == classes).to(images.dtype) - 1


def channels_of(shape: tuple[int, int, int], indices: int) -> int:
    """Channels of such an image as a network sees it; indices: 0 for an image of levels."""
    return indices or shape[0]
