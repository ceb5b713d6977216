"""SNGAN (Miyato et al. 2018, arXiv:1802.05957), class-conditional by projection (Miyato & Koyama, arXiv:1802.05637).

    L_D = E_x[max(0, 1 − D(x))] + E_z[max(0, 1 + D(G(z)))],    L_G = −E_z[D(G(z))]                  (eqs. 16, 17)

The discriminator's weights are divided by their largest singular value, W / σ(W), estimated by one power iteration
a step: it is then Lipschitz, and needs no penalty.  Residual networks, conditional batch norm in the generator; five
steps of the discriminator for each of the generator; Adam with 2e-4 and (0, 0.9).
"""

from __future__ import annotations

from typing import Literal

from gan_core.block import Count
from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.losses import Objective
from gan_core.options.networks import Generator, Judge, ResnetDiscriminator, ResnetGenerator
from gan_core.options.optimizers import Adam, Optimizer


class Sngan(ImageGanOptions):
    """Hinge loss, spectral norm, residual networks."""

    recipe: Literal["sngan"] = "sngan"
    latent: Count = 128
    generator: Generator = ResnetGenerator(norm="conditional_batch")
    discriminator: Judge = ResnetDiscriminator(spectral=True)
    objective: Objective = "hinge"
    critic_steps: Count = 5
    generator_optimizer: Optimizer = Adam(betas=(0.0, 0.9))
    discriminator_optimizer: Optimizer = Adam(betas=(0.0, 0.9))
