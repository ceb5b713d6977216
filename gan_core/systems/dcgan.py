"""DCGAN's networks in a present-day game: class-conditional, the non-saturating loss, R1, no norm in the discriminator.

Radford et al. 2016 (arXiv:1511.06434) for the networks, Goodfellow et al. 2014 for the loss, Mescheder et al. 2018
(arXiv:1801.04406) for the penalty γ/2 · E_x[|∇D(x)|²], which makes the game converge; labels enter the generator
beside z (Mirza & Osindero 2014) and the discriminator by projection (Miyato & Koyama 2018, arXiv:1802.05637).  What
Radford et al. trained is `dcgan_original`.
"""

from __future__ import annotations

from typing import Literal

from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.losses import GradientAt, Penalties


class Dcgan(ImageGanOptions):
    """DCGAN of any size from 8 to 128, class-conditional, with the non-saturating loss and R1."""

    recipe: Literal["dcgan"] = "dcgan"
    penalties: Penalties = Penalties(r1=GradientAt(gamma=1.0))
