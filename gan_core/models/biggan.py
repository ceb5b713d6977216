"""BigGAN's networks (Brock et al. 2019, arXiv:1809.11096, appendix B, tables 4 to 6): residual blocks told of label and
latent vector alike, and one number to make them wider.

A generator's z is cut into equal chunks: the first makes the smallest map, each block is told one of the others,
joined to an embedding of the label that all blocks share.  Unconditional, blocks are told their chunk alone.  Without
`hierarchical` all of z makes the smallest map, and blocks are told the embedding alone (plain batch norm without one).

width is the paper's ch: 96 at 128 × 128, with latent=120, 140 at 256, 160 at 512.  32 × 32 and smaller images are made
as the authors' networks for CIFAR-10 make them, 4 · width channels in all maps, width=64.  Other sizes whose sides
halve to 4 … 7 pixels are made as the next smaller of these.

Maps of 64 × 64 attend to themselves in networks of 128 pixels and more, as in the paper; in smaller ones none do,
unless `attention` says which.  Weights are orthogonal; all but the generator's embedding have spectral norm, as in the
authors' code (with it there, training was found to fail).
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
from gan_core.models.attention import SelfAttention
from gan_core.models.condition import ConditionEmbedding, ConditionMap, Verdict
from gan_core.models.initialise import initialise, orthogonal
from gan_core.models.layout import ToMaps
from gan_core.models.norms import norm_of
from gan_core.models.residual import DownBlock, InTurn, UpBlock
from gan_core.models.sizes import doublings, place_of
from gan_core.models.spectral import spectral as with_spectral_norm
from gan_core.options.conditions import Conditions
from gan_core.options.networks import ConditionBy

PAPERS_ATTENTION = 64  # side of the maps that attend to themselves
LARGE = 5  # doublings of the paper's smallest network, of 128 × 128

# channels in units of width, by how often the smallest map doubles: of a generator's maps from the smallest, and after
# each block of a discriminator; below that the networks for CIFAR-10
UP = {4: (16, 16, 8, 4, 2), 5: (16, 16, 8, 4, 2, 1), 6: (16, 16, 8, 8, 4, 2, 1), 7: (16, 16, 8, 8, 4, 2, 1, 1)}
DOWN = {4: (1, 2, 4, 8, 16), 5: (1, 2, 4, 8, 16, 16), 6: (1, 2, 4, 8, 8, 16, 16), 7: (1, 1, 2, 4, 8, 8, 16, 16)}
SMALL = 4


class BigganGenerator(nn.Module):
    """z: [n, latent] and, with conditions, label: to images [n, C, H, W] in [−1, 1].

    shape: (C, H, W).  conditions: as data.  shared: numbers in the embedding that all blocks share.  ConfigError for a
    size or an attention that no map of the network has, and for a latent that is not cut into equal chunks.
    """

    def __init__(
        self, shape: tuple[int, int, int], latent: int, width: int, conditions: Mapping[str, Any] | None = None, *,
        shared: int = 128, hierarchical: bool = True, attention: int | None = None, dropout: float = 0.0,
        init: str = "auto", spectral: bool = True, checkpointing: bool = False,
    ) -> None:
        super().__init__()
        channels, height, width_px = shape
        count, told = doublings(shape, "biggan"), Conditions.model_validate(conditions or {})
        widths = [width * times for times in UP.get(count, [SMALL] * (count + 1))]
        self.chunk = _chunk(latent, count + 1) if hierarchical else 0
        self.shared = ConditionEmbedding(told, shared) if told else None
        self.to_maps = ToMaps(widths[0], height >> count, width_px >> count)
        self.project = nn.Linear(self.chunk or latent, prod(self.to_maps.shape))
        embedded = self.chunk + (shared if told else 0)
        norm = partial(norm_of, "conditional_batch" if embedded else "batch", embedded=embedded)
        after = _attends(attention, count, [min(height, width_px) >> count - 1 - n for n in range(count)], "generator")
        self.blocks = InTurn([UpBlock(a, b, norm, nn.ReLU(), dropout) for a, b in pairwise(widths)],
                             None if after is None else SelfAttention(widths[after + 1]), after, checkpointing)
        self.norm = norm_of("batch", widths[-1])
        self.activation = nn.ReLU()
        self.to_image = nn.Conv2d(widths[-1], channels, 3, padding=1)
        initialise(self, init, orthogonal)
        if spectral:
            for part in (self.project, self.blocks, self.to_image):
                with_spectral_norm(part)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        e = None if self.shared is None else self.shared(label)
        first, told = z, [e] * len(self.blocks.blocks)
        if self.chunk:
            first, *rest = z.split(self.chunk, dim=1)
            told = [chunk if e is None else torch.cat([e, chunk], dim=1) for chunk in rest]
        x = self.blocks(self.to_maps(self.project(first)), told)
        return torch.tanh(self.to_image(self.activation(self.norm(x))))


class BigganDiscriminator(nn.Module):
    """Images [n, C, H, W] and, with conditions, label: to logits [n], higher is more real.

    With condition=auxiliary, [n, 1 + heads]: the logit, and what the label is taken for.  ConfigError for a size or an
    attention that no map of the network has.
    """

    def __init__(
        self, shape: tuple[int, int, int], width: int, conditions: Mapping[str, Any] | None = None, *,
        condition: ConditionBy = "projection", attention: int | None = None, dropout: float = 0.0, init: str = "auto",
        spectral: bool = True, checkpointing: bool = False,
    ) -> None:
        super().__init__()
        channels, height, width_px = shape
        count, told = doublings(shape, "biggan"), Conditions.model_validate(conditions or {})
        halving = count if count in DOWN else min(2, count)
        widths = [width * times for times in DOWN.get(count, [SMALL] * (halving + 2))]
        self.map = ConditionMap(told, height, width_px) if told and condition == "embedding" else None
        joined = [channels + (self.map is not None), *widths]
        after = _attends(attention, count, [min(height, width_px) >> min(n + 1, halving) for n in range(len(widths))],
                         "discriminator")
        self.blocks = InTurn(
            [DownBlock(a, b, b, "none", nn.ReLU(), dropout, halves=n < halving, first=n == 0)
             for n, (a, b) in enumerate(pairwise(joined))],
            None if after is None else SelfAttention(widths[after]), after, checkpointing,
        )
        self.activation = nn.ReLU()
        self.verdict = Verdict(widths[-1], told, condition)
        initialise(self, init, orthogonal)
        if spectral:
            with_spectral_norm(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        if self.map is not None:
            images = torch.cat([images, self.map(label)], dim=1)
        found: Tensor = self.verdict(self.activation(self.blocks(images)).sum((2, 3)), label)
        return found


def _chunk(latent: int, chunks: int) -> int:
    """Numbers in each chunk of z.  ConfigError, naming a latent that works, when chunks would differ."""
    if latent % chunks:
        near = max(1, round(latent / chunks)) * chunks
        raise ConfigError(f"latent: {latent} is not cut into {chunks} equal chunks, one for the smallest map and one "
                          f"for each of {chunks - 1} blocks; latent={near} works, and so does "
                          "generator.hierarchical=false")
    return latent // chunks


def _attends(attention: int | None, count: int, sides: list[int], network: str) -> int | None:
    """The block that attention comes after: where it is set, or where the paper has it."""
    if attention is None and count >= LARGE and PAPERS_ATTENTION in sides:
        attention = PAPERS_ATTENTION
    return place_of(attention, sides, network)


