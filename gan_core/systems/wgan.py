"""WGAN (Arjovsky et al. 2017, arXiv:1701.07875).

    max_w E_x[f_w(x)] − E_z[f_w(g(z))],  f_w Lipschitz                                                        (eq. 3)

Algorithm 1: five steps of the critic for each of the generator; after each, the critic's weights are cut to
[−0.01, 0.01]; RMSProp with a learning rate of 5e-5, as momentum made the critic unstable.  The value of equation 3 is
the curve `wasserstein/estimate`, which falls as samples get better.
"""

from __future__ import annotations

from typing import Literal

from gan_core.block import Count
from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.losses import Objective, Penalties
from gan_core.options.networks import DcganDiscriminator, Judge
from gan_core.options.optimizers import Optimizer, RmsProp


class Wgan(ImageGanOptions):
    """Wasserstein GAN with weight clipping."""

    recipe: Literal["wgan"] = "wgan"
    conditional: bool = False
    discriminator: Judge = DcganDiscriminator(norm="batch")
    objective: Objective = "wasserstein"
    critic_steps: Count = 5
    penalties: Penalties = Penalties(clip=0.01)
    generator_optimizer: Optimizer = RmsProp(algorithm="rmsprop")
    discriminator_optimizer: Optimizer = RmsProp(algorithm="rmsprop")
