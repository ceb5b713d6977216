"""Residual networks of SNGAN (Miyato et al. 2018, arXiv:1802.05957) and WGAN-GP (Gulrajani et al. 2017,
arXiv:1704.00028), with self-attention where it is set (SAGAN: Zhang et al. 2019, arXiv:1805.08318).

Images below 48 pixels are made as SNGAN makes CIFAR-10's: all maps of a generator have 2 · width channels, one block
doubles each; all four blocks of a discriminator have width channels, the first two halve.  width=128 gives the
published networks.  Larger images are made as SNGAN makes STL-10's and ImageNet's: `width` channels at the image's own
size, more towards the smallest map, up to 16 · width.  width=64 gives the published networks of 48, 64, 128 and 256.

The smallest map has 4 to 7 pixels a side: 4 × 4 of 32 × 32 images, 7 × 7 of 28 × 28.  A discriminator sums its last
maps over all places.  Neither network has spectral norm unless it is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from math import prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn

from gan_core.models.activations import activation as activation_of
from gan_core.models.attention import SelfAttention
from gan_core.models.condition import ConditionEmbedding, ConditionMap, Verdict
from gan_core.models.initialise import initialise
from gan_core.models.layout import ToMaps
from gan_core.models.norms import norm_of
from gan_core.models.residual import DownBlock, InTurn, UpBlock
from gan_core.models.sizes import doublings, place_of
from gan_core.models.spectral import spectral as with_spectral_norm
from gan_core.options.conditions import Conditions
from gan_core.options.networks import ConditionBy

EMBEDDED = 128  # numbers in the embedding of a label that all blocks share, BigGAN's
ALL_EQUAL_BELOW = 48  # pixels of the smaller side

# channels in units of width, by how often the smallest map doubles; from the smallest map to the image
UP = {3: (8, 4, 2, 1), 4: (16, 8, 4, 2, 1), 5: (16, 16, 8, 4, 2, 1), 6: (16, 16, 8, 8, 4, 2, 1),
      7: (16, 16, 8, 8, 4, 2, 1, 1)}
# from the image to the smallest map, which halves once more in the networks of 48 and 64 pixels
DOWN = {3: (1, 2, 4, 8, 16), 4: (1, 2, 4, 8, 16), 5: (1, 2, 4, 8, 16, 16), 6: (1, 2, 4, 8, 8, 16, 16),
        7: (1, 1, 2, 4, 8, 8, 16, 16)}


class ResnetGenerator(nn.Module):
    """z: [n, latent] and, with conditions, label: to images [n, C, H, W] in [−1, 1].

    shape: (C, H, W).  conditions: as data.  With norm=conditional_batch the label reaches every block's norms, else it
    is embedded beside z.  ConfigError for a size or an attention that no map of the network has.
    """

    def __init__(
        self, shape: tuple[int, int, int], latent: int, width: int, conditions: Mapping[str, Any] | None = None, *,
        norm: str = "batch", activation: str = "relu", attention: int | None = None, dropout: float = 0.0,
        init: str = "auto", spectral: bool = False, checkpointing: bool = False,
    ) -> None:
        super().__init__()
        channels, height, width_px = shape
        count, told = doublings(shape, "resnet"), Conditions.model_validate(conditions or {})
        widths = _up(min(height, width_px), count, width)
        conditional = norm == "conditional_batch"
        self.embed = ConditionEmbedding(told, EMBEDDED if conditional else latent) if told else None
        self.beside = bool(told) and not conditional
        self.to_maps = ToMaps(widths[0], height >> count, width_px >> count)
        self.project = nn.Linear(2 * latent if self.beside else latent, prod(self.to_maps.shape))
        self.blocks = InTurn(
            [UpBlock(a, b, partial(norm_of, norm, embedded=EMBEDDED if told else 0), activation_of(activation), dropout)
             for a, b in pairwise(widths)],
            *_attention(attention, [min(height, width_px) >> count - 1 - n for n in range(count)], widths[1:],
                        "generator"),
            checkpointing,
        )
        self.norm = norm_of("batch" if conditional else norm, widths[-1])
        self.activation = activation_of(activation)
        self.to_image = nn.Conv2d(widths[-1], channels, 3, padding=1)
        initialise(self, init, partial(_glorot, ends=(self.to_image,)))
        if spectral:
            with_spectral_norm(self)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        e = None if self.embed is None else self.embed(label)
        if self.beside and e is not None:
            z = torch.cat([z, e], dim=1)
        x = self.blocks(self.to_maps(self.project(z)), [e] * len(self.blocks.blocks))
        return torch.tanh(self.to_image(self.activation(self.norm(x))))


class ResnetDiscriminator(nn.Module):
    """Images [n, C, H, W] and, with conditions, label: to logits [n], higher is more real.

    With condition=auxiliary, [n, 1 + heads]: the logit, and what the label is taken for.  ConfigError as for the
    generator.
    """

    def __init__(
        self, shape: tuple[int, int, int], width: int, conditions: Mapping[str, Any] | None = None, *,
        condition: ConditionBy = "projection", norm: str = "none", activation: str = "relu",
        attention: int | None = None, dropout: float = 0.0, init: str = "auto", spectral: bool = False,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        channels, height, width_px = shape
        told = Conditions.model_validate(conditions or {})
        self.map = ConditionMap(told, height, width_px) if told and condition == "embedding" else None
        widths, halving = _down(shape, width)
        joined = [channels + (self.map is not None), *widths]
        self.blocks = InTurn(
            [DownBlock(a, b, a if n else b, norm, activation_of(activation), dropout, halves=n < halving, first=n == 0)
             for n, (a, b) in enumerate(pairwise(joined))],
            *_attention(attention, [min(height, width_px) >> min(n + 1, halving) for n in range(len(widths))], widths,
                        "discriminator"),
            checkpointing,
        )
        self.activation = activation_of(activation)
        self.verdict = Verdict(widths[-1], told, condition)
        initialise(self, init, _glorot)
        if spectral:
            with_spectral_norm(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        if self.map is not None:
            images = torch.cat([images, self.map(label)], dim=1)
        found: Tensor = self.verdict(self.activation(self.blocks(images)).sum((2, 3)), label)
        return found


def _up(side: int, count: int, width: int) -> list[int]:
    """Channels of the generator's maps, the smallest first."""
    if side < ALL_EQUAL_BELOW:
        return [2 * width] * (count + 1)
    return [width * times for times in UP[count]]


def _down(shape: tuple[int, int, int], width: int) -> tuple[list[int], int]:
    """Channels after each block of the discriminator, and how many blocks halve, from the first on."""
    count, side = doublings(shape, "resnet"), min(shape[1:])
    if side < ALL_EQUAL_BELOW:
        halving = min(2, count)
        return [width] * (halving + 2), halving
    once_more = count in (3, 4) and all((pixels >> count) % 2 == 0 for pixels in shape[1:])
    return [width * times for times in DOWN[count]], count + once_more


def _attention(
    side: int | None, sides: list[int], widths: list[int], network: str
) -> tuple[SelfAttention | None, int | None]:
    """Attention, and the block that it comes after."""
    after = place_of(side, sides, network)
    return (None, None) if after is None else (SelfAttention(widths[after]), after)


def _glorot(module: nn.Module, ends: tuple[nn.Module, ...] = ()) -> None:
    """Glorot & Bengio 2010, uniform, √2 times as large in blocks' 3 × 3 convolutions, as in SNGAN; biases 0.

    ends: convolutions that are in no block.
    """
    if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
        inside = isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) and module not in ends
        nn.init.xavier_uniform_(module.weight, sqrt(2) if inside else 1.0)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
