"""DCGAN's networks (Radford et al. 2016, arXiv:1511.06434) for images of any size, told of labels or attributes.

The generator starts from the smallest map of at least 4×4 that doubles up to the image, the discriminator mirrors it.
Both have `width` channels at the image's own size and twice as many each time a map halves.  Labels enter the generator
as an embedding beside z (Mirza & Osindero 2014) or by its norms, and the discriminator as `condition` says.  By default
the discriminator has no norm, so that penalties on its gradient are per example.

`dcgan_original` has the networks as they were published.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from gan_core.errors import ConfigError
from gan_core.models.activations import activation as activation_of
from gan_core.models.checkpointing import again
from gan_core.models.condition import ConditionEmbedding, ConditionMap, Verdict
from gan_core.models.dropout import Dropout
from gan_core.models.initialise import initialise, radford
from gan_core.models.layout import ToMaps, to_vectors
from gan_core.models.norms import norm_of
from gan_core.models.spectral import spectral as with_spectral_norm
from gan_core.options.conditions import Conditions
from gan_core.options.networks import ConditionBy

SMALLEST_MAP = 4
LARGEST_SIDE = 128


class DcganGenerator(nn.Module):
    """z: [n, latent] and, with conditions, label: to images [n, C, H, W] in [−1, 1].

    shape: (C, H, W).  conditions: as data.  With norm=conditional_batch the label reaches every block's norm, else it
    is embedded beside z.  ConfigError for sides outside 4 … 128.
    """

    def __init__(
        self, shape: tuple[int, int, int], latent: int, width: int, conditions: Mapping[str, Any] | None = None, *,
        norm: str = "batch", activation: str = "relu", dropout: float = 0.0, init: str = "auto", spectral: bool = False,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        channels, height, width_px = shape
        doublings, told = _doublings(shape), Conditions.model_validate(conditions or {})
        widths = [width * 2**i for i in range(doublings, -1, -1)]
        by_norm, bias = norm == "conditional_batch", norm == "none"
        self.checkpointing = checkpointing
        self.to_maps = ToMaps(widths[0], height >> doublings, width_px >> doublings)
        self.embed = ConditionEmbedding(told, latent) if told else None
        self.beside = bool(told) and not by_norm
        self.project = nn.Linear(2 * latent if self.beside else latent, prod(self.to_maps.shape), bias=bias)
        self.norms = nn.ModuleList(norm_of(norm, w, embedded=latent if told else 0) for w in widths)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=bias) for a, b in pairwise(widths))
        self.to_image = nn.Conv2d(widths[-1], channels, 3, 1, 1)
        self.activation = activation_of(activation)
        self.dropout = Dropout(dropout)
        initialise(self, init, radford)
        if by_norm and init == "auto" and self.embed is not None:
            nn.init.normal_(self.embed.weight)  # small gains of small numbers would tell nothing at first
        if spectral:
            with_spectral_norm(self)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        e = None if self.embed is None else self.embed(label)
        if self.beside and e is not None:
            z = torch.cat([z, e], dim=1)
        x = self.to_maps(self.project(z))
        for number in range(len(self.norms)):
            block = partial(self._block, number)
            x = again(block, x, e) if self.checkpointing else block(x, e)
        return torch.tanh(self.to_image(x))

    def _block(self, number: int, x: Tensor, e: Tensor | None) -> Tensor:
        """Maps of the next size, or of the first."""
        if number:
            x = self.ups[number - 1](x)
        found: Tensor = self.dropout(self.activation(self.norms[number](x, e)))
        return found


class DcganDiscriminator(nn.Module):
    """Images [n, C, H, W] and, with conditions, label: to logits [n], higher is more real.

    With condition=auxiliary, [n, 1 + heads]: the logit, and what the label is taken for; by embedding the label is one
    more channel of the image.  The first layer has no norm, as in the paper.  ConfigError as for the generator.
    """

    def __init__(
        self, shape: tuple[int, int, int], width: int, conditions: Mapping[str, Any] | None = None, *,
        condition: ConditionBy = "projection", norm: str = "none", activation: str = "leaky_relu", dropout: float = 0.0,
        init: str = "auto", spectral: bool = False, checkpointing: bool = False,
    ) -> None:
        super().__init__()
        channels, height, width_px = shape
        halvings, told = _doublings(shape), Conditions.model_validate(conditions or {})
        widths = [width * 2**i for i in range(halvings + 1)]
        self.checkpointing = checkpointing
        self.map = ConditionMap(told, height, width_px) if told and condition == "embedding" else None
        self.from_image = nn.Conv2d(channels + (self.map is not None), widths[0], 3, 1, 1)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1, bias=norm == "none") for a, b in pairwise(widths))
        self.norms = nn.ModuleList(norm_of(norm, w) for w in widths[1:])
        self.judge = Verdict(widths[-1] * (height >> halvings) * (width_px >> halvings), told, condition)
        self.activation = activation_of(activation)
        self.dropout = Dropout(dropout)
        initialise(self, init, radford)
        if spectral:
            with_spectral_norm(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        x = images if self.map is None else torch.cat([images, self.map(label)], dim=1)
        for number in range(1 + len(self.downs)):
            block = partial(self._block, number)
            x = again(block, x) if self.checkpointing else block(x)
        verdict: Tensor = self.judge(to_vectors(x), label)
        return verdict

    def _block(self, number: int, x: Tensor) -> Tensor:
        """Maps of half the size, or of the image's own."""
        x = self.norms[number - 1](self.downs[number - 1](x)) if number else self.from_image(x)
        found: Tensor = self.dropout(self.activation(x))
        return found


def doublings_to(height: int, width: int) -> int:
    """How often both sides halve without a remainder and stay at least 4."""
    count = 0
    while all(side % 2 == 0 and side // 2 >= SMALLEST_MAP for side in (height, width)):
        height, width, count = height // 2, width // 2, count + 1
    return count


def _doublings(shape: tuple[int, int, int]) -> int:
    """`doublings_to` images [C, H, W].  ConfigError for sides outside 4 … 128."""
    _, height, width = shape
    if not all(SMALLEST_MAP <= side <= LARGEST_SIDE for side in (height, width)):
        advice = "family mlp makes images of any size" if min(height, width) < SMALLEST_MAP else \
            "families resnet, biggan and r3gan make larger images"
        raise ConfigError(f"dcgan makes no images of {height} by {width}; sides of {SMALLEST_MAP} to {LARGEST_SIDE} "
                          f"work, best those that halve often, such as 8, 28, 32, 48, 64 and 128; {advice}")
    return doublings_to(height, width)
