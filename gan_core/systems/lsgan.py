"""LSGAN (Mao et al. 2017, arXiv:1611.04076).

    min_D ½ E_x[(D(x) − 1)²] + ½ E_z[D(G(z))²],    min_G ½ E_z[(D(G(z)) − 1)²]                                 (eq. 9)

A sample far on the right side of the boundary still has a gradient, where the cross entropy's is gone.
"""

from __future__ import annotations

from typing import Literal

from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.losses import Objective
from gan_core.options.networks import DcganDiscriminator, Judge
from gan_core.options.optimizers import Adam, Optimizer


class Lsgan(ImageGanOptions):
    """Least squares GAN."""

    recipe: Literal["lsgan"] = "lsgan"
    conditional: bool = False
    discriminator: Judge = DcganDiscriminator(norm="batch")
    objective: Objective = "least_squares"
    generator_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
    discriminator_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
