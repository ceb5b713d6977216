"""BigGAN (Brock et al. 2019, arXiv:1809.11096).

SAGAN's game at scale: class-conditional batch norm from one shared embedding, a chunk of z for each block, projection,
spectral norm and orthogonal initialisation in both networks, and the penalty of equation 3 on the generator's weights,

    β |Wᵀ W ⊙ (1 − I)|²_F,  β = 1e-4,

which makes it amenable to truncated z.  Two steps of the discriminator for each of the generator, Adam with 5e-5 for
the generator, 2e-4 for the discriminator and (0, 0.999).
"""

from __future__ import annotations

from typing import Literal

from gan_core.block import Count
from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.losses import Objective, OnWeights, Penalties
from gan_core.options.networks import BigganDiscriminator, BigganGenerator, Generator, Judge
from gan_core.options.optimizers import Adam, Optimizer


class Biggan(ImageGanOptions):
    """BigGAN; `width` is its channel multiplier, 96 in the paper and 64 for small images."""

    recipe: Literal["biggan"] = "biggan"
    latent: Count = 120
    generator: Generator = BigganGenerator()
    discriminator: Judge = BigganDiscriminator()
    objective: Objective = "hinge"
    critic_steps: Count = 2
    penalties: Penalties = Penalties(generator_weights=OnWeights(orthogonal=1e-4))
    generator_optimizer: Optimizer = Adam(learning_rate=5e-5, betas=(0.0, 0.999))
    discriminator_optimizer: Optimizer = Adam(learning_rate=2e-4, betas=(0.0, 0.999))
