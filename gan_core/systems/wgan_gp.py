"""WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028).

    L = E_z[D(G(z))] − E_x[D(x)] + λ E_x̂[(|∇D(x̂)| − 1)²],  x̂ = ε x + (1 − ε) G(z),  ε ~ U(0, 1)                  (eq. 3)

Algorithm 1: λ = 10, five steps of the critic for each of the generator, Adam with 1e-4 and (0, 0.9).  "No critic batch
normalization": the penalty is on each example's own gradient.
"""

from __future__ import annotations

from typing import Literal

from gan_core.block import Count
from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.losses import GradientPenalty, Objective, Penalties
from gan_core.options.optimizers import Adam, Optimizer


class WganGp(ImageGanOptions):
    """Wasserstein GAN with a gradient penalty."""

    recipe: Literal["wgan_gp"] = "wgan_gp"
    conditional: bool = False
    objective: Objective = "wasserstein"
    critic_steps: Count = 5
    penalties: Penalties = Penalties(gradient=GradientPenalty(weight=10.0))
    generator_optimizer: Optimizer = Adam(learning_rate=1e-4, betas=(0.0, 0.9))
    discriminator_optimizer: Optimizer = Adam(learning_rate=1e-4, betas=(0.0, 0.9))
