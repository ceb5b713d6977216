"""A U-Net that makes an image from another of the same size (Isola et al. 2017, arXiv:1611.07004, section 3.2.1).

Convolutions of 4 × 4 and stride 2 down to one pixel, transposed ones back up, and each map on the way down is seen
again on the way up beside the map of its size: what both images share, such as edges, need not pass the bottleneck.
At 256 × 256 that is the paper's network of eight layers each way; a side that is odd is halved downwards, and comes
back with the pixel that was lost, so that any size of 4 and more fits.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from gan_core.errors import ConfigError
from gan_core.models.class_map import channels_of, one_hot
from gan_core.models.dropout import Dropout
from gan_core.models.translator import initialise

SLOPE = 0.2
MOST_LAYERS = 8
WIDEST = 8  # times the width of the first layer
SMALLEST_SIDE = 4


class Unet(nn.Module):
    """Images [n, C, H, W] in [−1, 1] to images [n, C', H, W] of the same range.

    shape: (C, H, W).  channels: C'.  width: channels after the first layer, twice as many after each, at most eight
    times.  dropout: of the innermost layers on the way up, in training alone.  indices: how many classes, where pixels
    are class indices; 0 where they are levels.  ConfigError for sides below 4.
    """

    def __init__(
        self, shape: tuple[int, int, int], channels: int, width: int, dropout: float = 0.0, indices: int = 0
    ) -> None:
        super().__init__()
        sides = sides_of(*shape[1:])
        depth, self.indices = len(sides) - 1, indices
        widths = [width * min(2**i, WIDEST) for i in range(depth)]
        entering = [channels_of(shape, indices), *widths]
        self.down = nn.ModuleList(
            Down(entering[i], widths[i], normed=0 < i < depth - 1) for i in range(depth))
        # the innermost has no map of its size beside it; what the others make is joined with one of as many channels
        leaving = [channels, *widths]
        self.up = nn.ModuleList(
            Up(widths[i] * (1 if i == depth - 1 else 2), leaving[i], sides[i],
               dropout if depth - i <= dropped(depth) else 0.0, normed=i > 0)
            for i in range(depth))
        self.apply(initialise)

    def forward(self, image: Tensor) -> Tensor:
        maps = [one_hot(image, self.indices) if self.indices else image]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = maps.pop()
        for up, skipped in zip(reversed(self.up), [*reversed(maps[1:]), None], strict=True):
            x = up(x) if skipped is None else torch.cat([up(x), skipped], 1)
        return torch.tanh(x)


class Down(nn.Module):
    """norm(conv(leaky_relu(x))), stride 2; the image itself goes in as it is.  [n, C, H, W] to [n, C', H/2, W/2]."""

    def __init__(self, channels: int, width: int, normed: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 4, 2, 1, bias=not normed)
        self.norm = nn.InstanceNorm2d(width) if normed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(cast(Tensor, self.norm(self.conv(x))), SLOPE)


class Up(nn.Module):
    """dropout(norm(transposed conv(relu(x)))) to a side of just so many pixels.  [n, C, h, w] to [n, C', H, W]."""

    def __init__(self, channels: int, width: int, to: tuple[int, int], dropout: float, normed: bool) -> None:
        super().__init__()
        odd = (to[0] % 2, to[1] % 2)
        self.conv = nn.ConvTranspose2d(channels, width, 4, 2, 1, output_padding=odd, bias=not normed)
        self.norm = nn.InstanceNorm2d(width) if normed else nn.Identity()
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.dropout(self.norm(self.conv(relu(x)))))


def sides_of(height: int, width: int) -> list[tuple[int, int]]:
    """(H, W) of the image and of its maps on the way down, halved while both sides have two pixels, at most 8 times.

    ConfigError for a side below 4.
    """
    if min(height, width) < SMALLEST_SIDE:
        raise ConfigError(f"images of {height}x{width} are too small for a U-Net; sides of {SMALLEST_SIDE} and more "
                          "work")
    sides = [(height, width)]
    while min(sides[-1]) > 1 and len(sides) <= MOST_LAYERS:
        sides.append((sides[-1][0] // 2, sides[-1][1] // 2))
    return sides


def dropped(depth: int) -> int:
    """Layers on the way up that drop, from the innermost: three of eight, as in the paper, at least one."""
    return max(1, 3 * depth // MOST_LAYERS)
