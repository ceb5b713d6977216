"""Networks that translate images of one domain to another: residual blocks between a few strides.

Johnson et al. 2016 (arXiv:1603.08155), as Zhu et al. 2017 (arXiv:1703.10593, section 7.2) have them: a convolution of
7 × 7, convolutions of stride 2, residual blocks, transposed convolutions back to the size, and one of 7 × 7 to the
image; instance norm and ReLU after all but the last, reflected edges.  Two strides, fewer where maps would get smaller
than 8: blocks see maps of 64 × 64 at 256 pixels, and of 8 × 8 at 16 and 32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from gan_core.errors import ConfigError

MOST_STRIDES = 2
SMALLEST_MAP = 8
EDGE = 3  # pixels beyond the edge that a convolution of 7 × 7 sees, by reflection
STEM = 4  # layers before the first stride
TO_A, TO_B = 0, 1  # the labels of the two domains


class Translator(nn.Module):
    """Images [n, C, H, W] in [−1, 1] to images of another domain, of the same shape and range.

    width: channels at the full size, twice as many after each stride.  ConfigError for sides below 4.
    """

    def __init__(self, shape: tuple[int, int, int], width: int, blocks: int) -> None:
        super().__init__()
        channels, height, width_px = shape
        if min(height, width_px) <= EDGE:
            raise ConfigError(f"images of {height}x{width_px} are too small for a translator, which reflects "
                              f"{EDGE} pixels at their edges; sides of {EDGE + 1} and more work")
        widths = [width * 2**i for i in range(strides_of(height, width_px) + 1)]
        # what instance norm follows has no bias: the norm takes it out again
        layers: list[nn.Module] = [nn.ReflectionPad2d(EDGE), nn.Conv2d(channels, width, 7, bias=False), *_normed(width)]
        for inner, outer in pairwise(widths):
            layers += [nn.Conv2d(inner, outer, 3, 2, 1, bias=False), *_normed(outer)]
        layers += [Residual(widths[-1]) for _ in range(blocks)]
        for inner, outer in pairwise(reversed(widths)):
            layers += [nn.ConvTranspose2d(inner, outer, 3, 2, 1, output_padding=1, bias=False), *_normed(outer)]
        layers += [nn.ReflectionPad2d(EDGE), nn.Conv2d(width, channels, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

        self.taps = taps_of(shape, width, blocks)

    def forward(self, image: Tensor, places: Tensor | None = None) -> Tensor:
        """The translation; given places, [maps, S] int64 of the maps of `taps_of`, what the encoder has there instead.

        That is [n, S · sum of the maps' channels], map by map and of each place by place.
        """
        return cast(Tensor, self.layers(image)) if places is None else self._encoded(image, places)

    def _encoded(self, x: Tensor, places: Tensor) -> Tensor:
        taken, done = [], 0
        for tap, chosen in zip(self.taps, places, strict=True):
            x = self.layers[done : tap.layers](x)
            done = tap.layers
            taken.append(x.flatten(2)[:, :, chosen].transpose(1, 2).flatten(1))
        return torch.cat(taken, 1)


@dataclass(frozen=True)
class Tap:
    """A map on the way through a translator: after how many of its layers, and of what size."""

    layers: int
    channels: int
    places: int


def taps_of(shape: tuple[int, int, int], width: int, blocks: int) -> tuple[Tap, ...]:
    """The maps by which patches are compared (Park et al. 2020, arXiv:2007.15651, appendix C.1).

    The image itself, the convolutions of stride 2, the first residual block, and the one in the middle.
    """
    channels, height, width_px = shape
    strides = strides_of(height, width_px)
    halved = [Tap(STEM + 3 * i + 1, width * 2 ** (i + 1), (height >> i + 1) * (width_px >> i + 1))
              for i in range(strides)]
    places = (height >> strides) * (width_px >> strides)
    passed = sorted({1, blocks // 2 + 1})
    return (Tap(0, channels, height * width_px), *halved,
            *(Tap(STEM + 3 * strides + block, width * 2**strides, places) for block in passed))


class Residual(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), 3 × 3.  [n, C, H, W] to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.InstanceNorm2d(channels) for _ in range(2))
        self.reflect = nn.ReflectionPad2d(1)

    def forward(self, x: Tensor) -> Tensor:
        inner = relu(self.norms[0](self.convs[0](self.reflect(x))))
        return cast(Tensor, x + self.norms[1](self.convs[1](self.reflect(inner))))


class Translators(nn.Module):
    """Both directions as one generator, which is what is published.

    image: [n, C, H, W] in [−1, 1].  label: [n] int64, the domain to go to, 0 = a, 1 = b.
    """

    def __init__(self, shape: tuple[int, int, int], width: int, blocks: int) -> None:
        super().__init__()
        self.to_b = Translator(shape, width, blocks)
        self.to_a = Translator(shape, width, blocks)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        return translated(self.to_b, self.to_a, image, label)


def translated(
    to_b: Callable[[Tensor], Tensor], to_a: Callable[[Tensor], Tensor], image: Tensor, label: Tensor
) -> Tensor:
    """Each image [n, C, H, W] by the translator to the domain that its label [n] names."""
    return torch.where((label == TO_B)[:, None, None, None], to_b(image), to_a(image))


def strides_of(height: int, width: int) -> int:
    """How often both sides halve without a remainder and stay at least 8, at most twice."""
    fits = [n for n in range(1, MOST_STRIDES + 1)
            if all(side % 2**n == 0 and side >> n >= SMALLEST_MAP for side in (height, width))]
    return max(fits, default=0)


def initialise(module: nn.Module) -> None:
    """Zhu et al. 2017: weights from N(0, 0.02²), biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _normed(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.InstanceNorm2d(channels), nn.ReLU()
