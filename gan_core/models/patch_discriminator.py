"""A discriminator of patches (Isola et al. 2017, arXiv:1611.07004, section 3.2): many logits an image, one a patch.

Convolutions of 4 × 4, stride 2 while maps stay at least 8 and at most three times, then two of stride 1; instance norm
but in the first and the last, leaky ReLU.  At 256 × 256 that is the paper's 70 × 70 PatchGAN; at 16 × 16 a logit sees
16 × 16 pixels around its place, at 32 × 32 it sees 34 × 34.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from gan_core.errors import ConfigError
from gan_core.models.translator import initialise

SLOPE = 0.2
MOST_STRIDES = 3
SMALLEST_MAP = 8
SMALLEST_SIDE = 6  # 3 after a stride, 2 after the layer that follows, 1 logit after the last


class PatchDiscriminator(nn.Module):
    """Images [n, C, H, W] to logits [n, patches]; higher is more real.

    The loss of an image is the mean of its patches' losses, not the loss of their mean logit: each patch has to be
    real.  width: channels after the first layer, twice as many after each, at most eight times.  ConfigError for sides
    below 6.
    """

    def __init__(self, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        channels, height, width_px = shape
        if min(height, width_px) < SMALLEST_SIDE:
            raise ConfigError(f"images of {height}x{width_px} are too small for a discriminator of patches; "
                              f"sides of {SMALLEST_SIDE} and more work")
        strides = strides_of(min(height, width_px))
        widths = [width * min(2**i, 8) for i in range(strides + 1)]
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        for number, (inner, outer) in enumerate(pairwise(widths), start=1):
            stride = 2 if number < strides else 1
            layers += [nn.Conv2d(inner, outer, 4, stride, 1, bias=False), nn.InstanceNorm2d(outer), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        self.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.layers(images).flatten(1))


def strides_of(side: int) -> int:
    """Layers of stride 2 for images of that side: as many as leave maps of 8 and more, from one to three."""
    return next((n for n in range(MOST_STRIDES, 1, -1) if side >> n >= SMALLEST_MAP), 1)
