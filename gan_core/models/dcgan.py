"""DCGAN's networks (Radford et al. 2016, arXiv:1511.06434) for any image size, with a class label if there is one.

The generator starts from the smallest map of at least 4×4 that doubles up to the image, the discriminator mirrors it.
Labels enter the generator as an embedding beside z (Mirza & Osindero 2014) and the discriminator by projection
(Miyato & Koyama 2018, arXiv:1802.05637).  The discriminator has no norm, so that penalties on its gradient are
per example.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from gan_core.models.layout import ToMaps, to_vectors
from gan_core.models.norm import BatchNorm

SMALLEST_MAP = 4
SLOPE = 0.2


class DcganGenerator(nn.Module):
    """z: [n, latent] and, with classes > 0, label: [n] int64, to images [n, C, H, W] in [−1, 1]."""

    def __init__(self, shape: tuple[int, int, int], classes: int, latent: int, width: int) -> None:
        super().__init__()
        channels, height, width_px = shape
        doublings = doublings_to(height, width_px)
        widths = [width * 2**i for i in range(doublings, -1, -1)]
        self.to_maps = ToMaps(widths[0], height >> doublings, width_px >> doublings)
        self.embed = nn.Embedding(classes, latent) if classes else None
        joined = 2 * latent if classes else latent
        self.project = nn.Linear(joined, prod(self.to_maps.shape), bias=False)
        self.norms = nn.ModuleList(BatchNorm(w) for w in widths)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False) for a, b in pairwise(widths)
        )
        self.to_image = nn.Conv2d(widths[-1], channels, 3, 1, 1)
        self.apply(initialise)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        if self.embed is not None:
            z = torch.cat([z, self.embed(label)], dim=1)
        x = relu(self.norms[0](self.to_maps(self.project(z))))
        for up, norm in zip(self.ups, list(self.norms)[1:], strict=True):
            x = relu(norm(up(x)))
        return torch.tanh(self.to_image(x))


class DcganDiscriminator(nn.Module):
    """Images [n, C, H, W] and, with classes > 0, label: [n] int64, to logits [n]; higher is more real."""

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int) -> None:
        super().__init__()
        channels, height, width_px = shape
        halvings = doublings_to(height, width_px)
        widths = [width * 2**i for i in range(halvings + 1)]
        self.from_image = nn.Conv2d(channels, widths[0], 3, 1, 1)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        features = widths[-1] * (height >> halvings) * (width_px >> halvings)
        self.judge = nn.Linear(features, 1)
        self.embed = nn.Embedding(classes, features) if classes else None
        self.apply(initialise)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        x = leaky_relu(self.from_image(images), SLOPE)
        for down in self.downs:
            x = leaky_relu(down(x), SLOPE)
        x = to_vectors(x)
        logits: Tensor = self.judge(x).squeeze(1)
        if self.embed is not None:
            logits = logits + (self.embed(label) * x).sum(1)
        return logits


def doublings_to(height: int, width: int) -> int:
    """How often both sides halve without a remainder and stay at least 4."""
    count = 0
    while all(side % 2 == 0 and side // 2 >= SMALLEST_MAP for side in (height, width)):
        height, width, count = height // 2, width // 2, count + 1
    return count


def initialise(module: nn.Module) -> None:
    """Radford et al. 2016: weights from N(0, 0.02²), norms from 1, biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
