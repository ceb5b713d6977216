"""Maps twice or half as large."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, interpolate


def repeated(x: Tensor) -> Tensor:
    """Each pixel becomes four.  [n, C, H, W] to [n, C, 2 H, 2 W]."""
    return interpolate(x, scale_factor=2.0, mode="nearest")


def averaged(x: Tensor) -> Tensor:
    """Four pixels become their mean.  [n, C, H, W] to [n, C, H / 2, W / 2]."""
    return avg_pool2d(x, 2)


class Bilinear(nn.Module):
    """The filter (1, 3, 3, 1) ⊗ (1, 3, 3, 1) / 64 of bilinear resampling, with zeros beyond the borders (R3GAN's).

    torch's `interpolate` differs at the borders, which it repeats, and takes ten times as long to halve maps on CPUs.
    """

    filter: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        tent = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.channels = channels
        self.register_buffer("filter", torch.outer(tent, tent).repeat(channels, 1, 1, 1), persistent=False)


class BilinearUp(Bilinear):
    """[n, C, H, W] to [n, C, 2 H, 2 W]."""

    def forward(self, x: Tensor) -> Tensor:
        return conv_transpose2d(x, 4 * self.filter, stride=2, padding=1, groups=self.channels)


class BilinearDown(Bilinear):
    """[n, C, H, W] to [n, C, H / 2, W / 2]."""

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.filter, stride=2, padding=1, groups=self.channels)
