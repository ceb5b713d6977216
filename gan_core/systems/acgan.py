"""AC-GAN (Odena et al. 2017, arXiv:1610.09585).

The discriminator is not told the class but predicts it: it is trained for L_S + L_C and the generator for L_C − L_S,
L_C being the log-likelihood of the right class of real and of generated images.
"""

from __future__ import annotations

from typing import Literal

from gan_core.block import Count
from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.networks import DcganDiscriminator, Judge
from gan_core.options.optimizers import Adam, Optimizer


class Acgan(ImageGanOptions):
    """The non-saturating loss, and a discriminator that also classifies."""

    recipe: Literal["acgan"] = "acgan"
    latent: Count = 110
    discriminator: Judge = DcganDiscriminator(norm="batch", condition="auxiliary", dropout=0.5)
    generator_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
    discriminator_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
