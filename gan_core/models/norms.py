"""Norms by the names that a configuration gives them, all called as norm(x, e).

x: [n, C, …], vectors [n, C] included.  e: [n, embedded], what the network was told, read by conditional norms alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gan_core.errors import ConfigError
from gan_core.models.norm import BatchNorm

MOST_GROUPS = 32  # Wu & He 2018
FEWEST_CHANNELS = 4  # in a group, as far as they divide: the norm of one number is 0


class NoNorm(nn.Module):
    """x as it is."""

    def forward(self, x: Tensor, e: Tensor | None = None) -> Tensor:
        return x


class Batch(BatchNorm):
    """Batch norm over the global batch."""

    def forward(self, input: Tensor, e: Tensor | None = None) -> Tensor:
        return super().forward(input)


class Instance(nn.InstanceNorm2d):
    """Each map of each image by itself (Ulyanov et al. 2016, arXiv:1607.08022), with a gain and bias per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, input: Tensor, e: Tensor | None = None) -> Tensor:
        if input[0, 0].numel() < 2:
            raise ConfigError("norm: instance normalises over a map, and here each is one number; layer works")
        return super().forward(input)


class Group(nn.GroupNorm):
    """Groups of channels of each image by themselves (Wu & He 2018, arXiv:1803.08494), a gain and bias per channel.

    In one group of all channels this is layer norm (Ba et al. 2016, arXiv:1607.06450) of channels and positions.
    """

    def forward(self, input: Tensor, e: Tensor | None = None) -> Tensor:
        return super().forward(input)


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gain 1 + A e and bias B e are linear in what the network was told (de Vries et al. 2017).

    e: [n, embedded].  arXiv:1707.00683; without biases in A and B, as in BigGAN (Brock et al. 2019, appendix B).
    """

    def __init__(self, channels: int, embedded: int) -> None:
        super().__init__()
        self.normalise = BatchNorm(channels, affine=False)
        self.gain = nn.Linear(embedded, channels, bias=False)
        self.bias = nn.Linear(embedded, channels, bias=False)

    def forward(self, x: Tensor, e: Tensor | None = None) -> Tensor:
        shape = (-1, *[1] * (x.dim() - 2))  # without the number of examples, which a traced network would keep
        gain, bias = self.gain(e).unflatten(1, shape), self.bias(e).unflatten(1, shape)
        return torch.addcmul(bias, self.normalise(x), 1 + gain)


def norm_of(kind: str, channels: int, embedded: int = 0) -> nn.Module:
    """A norm of [n, channels, …] numbers, called as norm(x, e).

    embedded: how many numbers e has; with 0, conditional_batch has nothing to learn by, and it is a ConfigError.
    """
    match kind:
        case "none":
            return NoNorm()
        case "batch":
            return Batch(channels)
        case "instance":
            return Instance(channels)
        case "layer":
            return Group(1, channels)
        case "group":
            return Group(groups_of(channels), channels)
        case "conditional_batch" if embedded:
            return ConditionalBatchNorm(channels, embedded)
        case "conditional_batch":
            raise ConfigError("norm: conditional_batch needs a label or attributes that the generator is told; "
                              "norm=batch works without")
    raise ConfigError(f"norm: '{kind}' is unknown; these are known: none, batch, instance, layer, group, "
                      "conditional_batch")


def groups_of(channels: int) -> int:
    """The most groups, up to 32, that divide the channels into four or more each; one where none do."""
    return max((groups for groups in range(1, MOST_GROUPS + 1)
                if channels % groups == 0 and channels // groups >= FEWEST_CHANNELS), default=1)
