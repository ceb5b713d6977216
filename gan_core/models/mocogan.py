"""MoCoGAN's networks (Tulyakov et al. 2018, arXiv:1707.04993) for clips [T, C, H, W] of any length and size.

The generator makes a clip frame by frame with a generator of images, which is told what is seen by numbers that are the
same in all frames, and how it moves by the state of a recurrent network:

    h(t) = R(ε(t), h(t − 1)),  h(0) = ε(0)        frame t = G([z, h(t)], c)                                (section 3.1)
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gan_core.errors import ConfigError
from gan_core.models.activations import SLOPE
from gan_core.models.condition import Verdict
from gan_core.models.dcgan import DcganGenerator
from gan_core.models.initialise import he, initialise
from gan_core.options.conditions import Conditions

SMALLEST = 4  # frames and pixels of a side down to which clips are halved
WIDEST = 8  # times `width`
ClipShape = tuple[int, int, int, int]
Size = tuple[int, int, int]  # frames, height, width


class MocoganGenerator(nn.Module):
    """z: [n, content], motion: [n, T + 1, numbers] and, with conditions, label: to clips [n, T, C, H, W] in [−1, 1].

    shape: (T, C, H, W).  The images are DCGAN's, and so are the sizes that can be: ConfigError for others.
    """

    def __init__(self, shape: ClipShape, content: int, motion: int, width: int,
                 conditions: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.frames = shape[0]
        self.recurrent = nn.GRUCell(motion, motion)
        self.image = DcganGenerator(shape[1:], content + motion, width, conditions)

    def forward(self, z: Tensor, motion: Tensor, label: Tensor | None = None) -> Tensor:
        states = torch.stack(self._states(motion), dim=1)
        codes = torch.cat([z[:, None].expand(-1, self.frames, -1), states], dim=2).flatten(0, 1)
        labels = None if label is None else label.repeat_interleave(self.frames, dim=0)
        clips: Tensor = self.image(codes, labels).unflatten(0, (-1, self.frames))
        return clips

    def _states(self, motion: Tensor) -> list[Tensor]:
        """h(1) … h(T), [n, numbers] each."""
        noise = motion.unbind(1)
        states = [noise[0]]
        for each in noise[1:]:
            states.append(self.recurrent(each, states[-1]))
        return states[1:]


class ClipDiscriminator(nn.Module):
    """Clips [n, T, C, H, W] and, with conditions, label: to logits [n], higher is more real.

    Convolutions in time and space (section 3.2) that halve each axis longer than 4 until none is; no norm, so that
    penalties on its gradient are per example; labels by projection.  ConfigError for sides below 4.
    """

    def __init__(self, shape: ClipShape, width: int, conditions: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        frames, channels, height, width_px = shape
        if min(height, width_px) < SMALLEST:
            raise ConfigError(f"clips of {height} by {width_px} are too small to be judged; sides of {SMALLEST} and "
                              "more work")
        sizes, told = halved((frames, height, width_px)), Conditions.model_validate(conditions or {})
        widths = [channels, *(width * min(2**i, WIDEST) for i in range(len(sizes)))]
        self.convs = nn.ModuleList(_halving(inner, outer, size)
                                   for (inner, outer), size in zip(pairwise(widths), sizes, strict=True))
        self.judge = Verdict(widths[-1] * prod(_after(sizes[-1])), told, "projection")
        initialise(self, "auto", he)

    def forward(self, clips: Tensor, label: Tensor | None = None) -> Tensor:
        x = clips.transpose(1, 2)
        for conv in self.convs:
            x = leaky_relu(conv(x), SLOPE)
        verdict: Tensor = self.judge(x.flatten(1), label)
        return verdict


def halved(size: Size) -> list[Size]:
    """What each layer sees of a clip: one layer at least, and others until no axis is longer than 4."""
    sizes = [size]
    while max(_after(sizes[-1])) > SMALLEST:
        sizes.append(_after(sizes[-1]))
    return sizes


def _after(size: Size) -> Size:
    frames, height, width = (length // 2 if length > SMALLEST else length for length in size)
    return frames, height, width


def _halving(inner: int, outer: int, size: Size) -> nn.Conv3d:
    frames, height, width = ((4, 2) if length > SMALLEST else (3, 1) for length in size)
    kernel, stride = zip(frames, height, width, strict=True)
    return nn.Conv3d(inner, outer, kernel, stride, 1)
