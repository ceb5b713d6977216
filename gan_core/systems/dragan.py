"""DRAGAN (Kodali et al. 2017, arXiv:1705.07215).

Goodfellow's loss, and a discriminator whose gradient has norm 1 around the data: λ E_x,δ[(|∇D(x + δ)| − 1)²] with
λ = 10 and δ uniform up to half the standard deviation of the batch: regularised where the game is played, and one step
of the discriminator for each of the generator.
"""

from __future__ import annotations

from typing import Literal

from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.losses import Dragan as DraganPenalty
from gan_core.options.losses import Penalties
from gan_core.options.optimizers import Adam, Optimizer


class Dragan(ImageGanOptions):
    """The non-saturating loss with gradients of norm 1 around real images."""

    recipe: Literal["dragan"] = "dragan"
    conditional: bool = False
    penalties: Penalties = Penalties(dragan=DraganPenalty())
    generator_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
    discriminator_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
