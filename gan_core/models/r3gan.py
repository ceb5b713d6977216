"""R3GAN's networks (Huang et al. 2024, arXiv:2501.05441, section 3 and figure 2c, "Config E").

No norms: residual blocks of a 1×1, a grouped 3×3 and a 1×1 convolution with leaky ReLUs between them, weights small
enough at the start (Zhang et al. 2019, arXiv:1901.09321, "fixup"), and resampling by a bilinear filter on the stem.
A generator starts from learnt 4 × 4 maps, each scaled by a number that is linear in z; a discriminator ends with one
filter for each of its last maps.  Both are the same otherwise, one the other turned round.

width is the number of channels of maps of up to `wide_up_to` pixels, halved with each doubling from there on; blocks,
expansion and cardinality (channels of one group) are the paper's by default.  As published: latent=64, and width=768
for CIFAR-10, FFHQ-64 and FFHQ-256 (of which table 2 counts 23.058 and 23.010 million parameters), width=1536 and
cardinality=32 for ImageNet-32, and these with wide_up_to=64 for ImageNet-64.  Sides halve to 4 … 7 pixels, and the maps
that a generator starts from have that size.

Labels are embedded beside z, in as many numbers; a discriminator by projection is the product of its output, `width`
numbers, and an embedding, and has no term that reads no label.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from math import ceil, log2, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gan_core.errors import ConfigError
from gan_core.models.condition import ConditionEmbedding, ConditionMap
from gan_core.models.dropout import Dropout
from gan_core.models.initialise import initialise
from gan_core.models.layout import ToMaps, to_vectors
from gan_core.models.resample import BilinearDown, BilinearUp
from gan_core.models.residual import InTurn
from gan_core.models.sizes import doublings
from gan_core.models.spectral import spectral as with_spectral_norm
from gan_core.options.conditions import Conditions
from gan_core.options.networks import ConditionBy

SLOPE = 0.2
GAIN = sqrt(2 / (1 + SLOPE**2))  # He et al. 2015: keeps variances through a leaky ReLU
WIDE_UP_TO = 32  # pixels: the largest maps of full width, as published


class Block(nn.Module):
    """x + f(x), maps [n, channels, H, W] to the same; f is 0 in a fresh network.

    blocks: how many the network has: the deeper, the smaller the first two layers' fresh weights.
    """

    def __init__(self, channels: int, cardinality: int, expansion: int, blocks: int, dropout: float) -> None:
        super().__init__()
        wide = channels * expansion
        self.scale = GAIN * blocks**-0.25
        self.widen = nn.Conv2d(channels, wide, 1)
        self.mix = nn.Conv2d(wide, wide, 3, padding=1, groups=max(1, wide // cardinality))
        self.narrow = nn.Conv2d(wide, channels, 1, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        h = leaky_relu(self.mix(leaky_relu(self.widen(x), SLOPE)), SLOPE)
        added: Tensor = self.narrow(self.dropout(h))
        return x + added


class GenerativeBasis(nn.Module):
    """[n, inputs] to maps [n, *shape]: learnt maps, each scaled by a number that is linear in the input."""

    def __init__(self, inputs: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.empty(shape).normal_())
        self.scales = nn.Linear(inputs, shape[0], bias=False)
        self.to_maps = ToMaps(*shape)

    def forward(self, z: Tensor) -> Tensor:
        vectors = self.scales(z).unsqueeze(2) * self.basis.flatten(1)
        maps: Tensor = self.to_maps(vectors.flatten(1))
        return maps


class DiscriminativeBasis(nn.Module):
    """Maps [n, *shape] to [n, outputs]: one filter of a map's size for each, then a linear layer."""

    def __init__(self, shape: tuple[int, int, int], outputs: int) -> None:
        super().__init__()
        self.basis = nn.Conv2d(shape[0], shape[0], shape[1:], groups=shape[0], bias=False)
        self.linear = nn.Linear(shape[0], outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.linear(to_vectors(self.basis(x)))
        return outputs


class R3ganGenerator(nn.Module):
    """z: [n, latent] and, with conditions, label: to images [n, C, H, W].

    shape: (C, H, W).  conditions: as data.  The network ends with a convolution, as in the paper: in training images
    may leave [−1, 1] and be judged for it; in evaluation they are cut to it.  ConfigError for a size it cannot make and
    for a width that does not fall into groups.
    """

    def __init__(
        self, shape: tuple[int, int, int], latent: int, width: int, conditions: Mapping[str, Any] | None = None, *,
        blocks: int = 2, cardinality: int = 16, expansion: int = 2, wide_up_to: int = WIDE_UP_TO, dropout: float = 0.0,
        init: str = "auto", spectral: bool = False, checkpointing: bool = False,
    ) -> None:
        super().__init__()
        _refuse_norm_of_nothing(spectral, init)
        told, smallest, widths = Conditions.model_validate(conditions or {}), *_maps(
            shape, width, cardinality, expansion, wide_up_to)
        self.embed = ConditionEmbedding(told, latent) if told else None
        self.basis = GenerativeBasis(2 * latent if told else latent, smallest)
        block = partial(Block, cardinality=cardinality, expansion=expansion, blocks=blocks * len(widths),
                        dropout=dropout)
        layers: list[nn.Module] = [block(widths[0]) for _ in range(blocks)]
        for a, b in pairwise(widths):
            layers += [nn.Sequential(_changed(a, b), BilinearUp(b)), *(block(b) for _ in range(blocks))]
        self.layers = InTurn(layers, None, None, checkpointing)
        self.to_image = nn.Conv2d(widths[-1], shape[0], 1, bias=False)
        initialise(self, init, _fixup)
        if spectral:
            with_spectral_norm(self)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        if self.embed is not None:
            z = torch.cat([z, self.embed(label)], dim=1)
        images: Tensor = self.to_image(self.layers(self.basis(z)))
        return images if self.training else images.clamp(-1, 1)


class R3ganDiscriminator(nn.Module):
    """Images [n, C, H, W] and, with conditions, label: to logits [n], higher is more real.

    With condition=auxiliary, [n, 1 + heads]: the logit, and what the label is taken for.  ConfigError as for the
    generator.
    """

    def __init__(
        self, shape: tuple[int, int, int], width: int, conditions: Mapping[str, Any] | None = None, *,
        condition: ConditionBy = "projection", blocks: int = 2, cardinality: int = 16, expansion: int = 2,
        wide_up_to: int = WIDE_UP_TO, dropout: float = 0.0, init: str = "auto", spectral: bool = False,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        _refuse_norm_of_nothing(spectral, init)
        told, smallest, widths = Conditions.model_validate(conditions or {}), *_maps(
            shape, width, cardinality, expansion, wide_up_to)
        self.map = ConditionMap(told, *shape[1:]) if told and condition == "embedding" else None
        self.from_image = nn.Conv2d(shape[0] + (self.map is not None), widths[-1], 1, bias=False)
        block = partial(Block, cardinality=cardinality, expansion=expansion, blocks=blocks * len(widths),
                        dropout=dropout)
        layers: list[nn.Module] = []
        for a, b in pairwise(reversed(widths)):
            layers += [*(block(a) for _ in range(blocks)), nn.Sequential(BilinearDown(a), _changed(a, b))]
        layers += [block(widths[0]) for _ in range(blocks)]
        self.layers = InTurn(layers, None, None, checkpointing)
        self.projected = bool(told) and condition == "projection"
        self.basis = DiscriminativeBasis(
            smallest, width if self.projected else 1 + (told.heads if condition == "auxiliary" else 0))
        self.embed = ConditionEmbedding(told, width) if self.projected else None
        initialise(self, init, partial(_fixup, embedding=1 / sqrt(width)))
        if spectral:
            with_spectral_norm(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        if self.map is not None:
            images = torch.cat([images, self.map(label)], dim=1)
        found: Tensor = self.basis(self.layers(self.from_image(images)))
        if self.embed is not None:
            found = (found * self.embed(label)).sum(1, keepdim=True)
        return found if found.shape[1] > 1 else found.squeeze(1)


def _maps(
    shape: tuple[int, int, int], width: int, cardinality: int, expansion: int, wide_up_to: int
) -> tuple[tuple[int, int, int], list[int]]:
    """Shape of the smallest maps, and channels of all, the smallest first.

    ConfigError for a size that has no such maps, and for a width whose blocks do not fall into full groups.
    """
    count = doublings(shape, "r3gan")
    sides = [min(shape[1:]) >> count - n for n in range(count + 1)]
    widths = _widths(sides, width, wide_up_to)
    if not _falls_into_groups(widths, cardinality, expansion):
        works = min((other for other in range(1, 2 * width + cardinality)
                     if _falls_into_groups(_widths(sides, other, wide_up_to), cardinality, expansion)),
                    key=lambda other: abs(other - width))
        wide = ", ".join(str(expansion * channels) for channels in dict.fromkeys(widths))
        raise ConfigError(f"width: {width} makes blocks of {wide} channels, which do not fall into groups of "
                          f"cardinality={cardinality}; width={works} works, and so does cardinality=1")
    return (widths[0], shape[1] >> count, shape[2] >> count), widths


def _widths(sides: list[int], width: int, wide_up_to: int) -> list[int]:
    """Channels of maps of these sides."""
    return [max(1, width >> max(0, ceil(log2(side / wide_up_to)))) for side in sides]


def _falls_into_groups(widths: list[int], cardinality: int, expansion: int) -> bool:
    return all(wide < cardinality or wide % cardinality == 0 for wide in (expansion * channels for channels in widths))


def _refuse_norm_of_nothing(spectral: bool, init: str) -> None:
    if spectral and init == "auto":
        raise ConfigError("spectral: true, but the last layers of r3gan's blocks start from 0, which no norm divides; "
                          "spectral=false works, and so does init=he")


def _changed(inputs: int, outputs: int) -> nn.Module:
    """A change of the number of channels, where they differ."""
    return nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()


def _fixup(module: nn.Module, embedding: float = 1.0) -> None:
    """Fresh weights N(0, 1 / fan-in), in blocks so scaled that many of them add up to no more; biases 0.

    embedding: how much smaller those of embeddings are.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 1 / sqrt(module.weight[0].numel()))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, 0.0, embedding / sqrt(module.num_embeddings))
    elif isinstance(module, Block):  # after its layers
        with torch.no_grad():
            module.widen.weight.mul_(module.scale)
            module.mix.weight.mul_(module.scale)
            module.narrow.weight.zero_()
