"""DCGAN as published (Radford et al. 2016, arXiv:1511.06434), and the primers' form of it at 28 × 28.

Strided convolutions in place of pooling, batch norm in both networks, no hidden dense layers, ReLU in the generator and
leaky ReLU of slope 0.2 in the discriminator, weights from N(0, 0.02²), z of 100 numbers, Adam with a learning rate of
2e-4 and β₁ = 0.5, batches of 128.  The loss is Goodfellow's non-saturating one.  Unconditional.
"""

from __future__ import annotations

from typing import Literal

from gan_core.block import Count
from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.networks import DcganOriginalDiscriminator, DcganOriginalGenerator, Generator, Judge
from gan_core.options.optimizers import Adam, Optimizer


class DcganOriginal(ImageGanOptions):
    """Radford's DCGAN: batch norm in both networks; 28 × 28 or 64 × 64."""

    recipe: Literal["dcgan_original"] = "dcgan_original"
    latent: Count = 100
    conditional: bool = False
    generator: Generator = DcganOriginalGenerator()
    discriminator: Judge = DcganOriginalDiscriminator()
    generator_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
    discriminator_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
