"""SAGAN (Zhang et al. 2019, arXiv:1805.08318).

SNGAN with self-attention in both networks, spectral norm in both, and two learning rates instead of several steps of
the discriminator: 1e-4 for the generator and 4e-4 for the discriminator, Adam with (0, 0.9).
"""

from __future__ import annotations

from typing import Literal

from gan_core.block import Count
from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.losses import Objective
from gan_core.options.networks import Generator, Judge, ResnetDiscriminator, ResnetGenerator
from gan_core.options.optimizers import Adam, Optimizer


class Sagan(ImageGanOptions):
    """Hinge loss, spectral norm and self-attention in both networks."""

    recipe: Literal["sagan"] = "sagan"
    latent: Count = 128
    generator: Generator = ResnetGenerator(norm="conditional_batch", spectral=True, attention=16)
    discriminator: Judge = ResnetDiscriminator(spectral=True, attention=16)
    objective: Objective = "hinge"
    generator_optimizer: Optimizer = Adam(learning_rate=1e-4, betas=(0.0, 0.9))
    discriminator_optimizer: Optimizer = Adam(learning_rate=4e-4, betas=(0.0, 0.9))
