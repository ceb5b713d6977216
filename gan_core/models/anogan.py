"""f-AnoGAN's networks (Schlegl et al. 2019, Medical Image Analysis 54): a generator with an encoder that inverts it.

What the discriminator reads its verdict off are the features by which an image and its reconstruction are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gan_core.errors import ConfigError
from gan_core.models.dcgan import doublings_to
from gan_core.models.initialise import initialise, radford
from gan_core.models.last_input import last_input
from gan_core.models.layout import to_vectors
from gan_core.registry import FAMILIES

SLOPE = 0.2


class Encoder(nn.Module):
    """Images [n, C, H, W] to latent vectors [n, latent]: DCGAN's discriminator with as many outputs, without norms.

    width: channels at the image's size, twice as many each time a map halves.
    """

    def __init__(self, shape: tuple[int, int, int], latent: int, width: int) -> None:
        super().__init__()
        channels, height, width_px = shape
        halvings = doublings_to(height, width_px)
        widths = [width * 2**i for i in range(halvings + 1)]
        self.from_image = nn.Conv2d(channels, width, 3, 1, 1)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        self.to_latent = nn.Linear(widths[-1] * (height >> halvings) * (width_px >> halvings), latent)
        initialise(self, "he", radford)

    def forward(self, images: Tensor) -> Tensor:
        x = leaky_relu(self.from_image(images), SLOPE)
        for down in self.downs:
            x = leaky_relu(down(x), SLOPE)
        latent: Tensor = self.to_latent(to_vectors(x))
        return latent


class FeatureJudge(nn.Module):
    """A discriminator that also tells what it reads its verdict off."""

    def __init__(self, judge: nn.Module) -> None:
        super().__init__()
        self.judge = judge

    def forward(self, images: Tensor, label: Tensor | None = None, features: bool = False) -> Tensor:
        """Logits as the discriminator has them, or the features [n, d] of images [n, C, H, W].

        ConfigError when it ends in no linear layer and no convolution, and so has none.
        """
        if not features:
            logits: Tensor = self.judge(images, label)
            return logits
        with last_input(self.judge) as seen:
            self.judge(images, label)
        if not seen:
            raise ConfigError("model.discriminator: ends in no linear layer and no convolution, so that it has no "
                              "features; model.discriminator.family=dcgan works")
        return seen[0].flatten(1)


class AnoGan(nn.Module):
    """Generator, discriminator and encoder as one, which is what is published; called, it is the generator.

    generator, discriminator: {family, options}.  feature_weight: κ of the anomaly score.
    """

    def __init__(
        self, generator: Mapping[str, Any], discriminator: Mapping[str, Any], encoder: Mapping[str, Any],
        feature_weight: float,
    ) -> None:
        super().__init__()
        self.generator = FAMILIES.get(generator["family"])(**generator["options"])
        self.discriminator = FeatureJudge(FAMILIES.get(discriminator["family"])(**discriminator["options"]))
        self.encoder = Encoder(**encoder)
        self.feature_weight = feature_weight

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.generator(z)
        return images

    def features(self, images: Tensor) -> Tensor:
        """[n, C, H, W] in [−1, 1] to [n, d]."""
        found: Tensor = self.discriminator(images, features=True)
        return found

    def rebuilt(self, images: Tensor) -> Tensor:
        """G(E(x)), [n, C, H, W] in [−1, 1]."""
        made: Tensor = self.generator(self.encoder(images))
        return made


def squared(one: Tensor, other: Tensor) -> Tensor:
    """Mean squared difference of each row from the other: [n, …], [n, …] -> [n]."""
    return torch.square(one - other).flatten(1).mean(1)
