"""R3GAN (Huang et al. 2024, arXiv:2501.05441): a modern baseline without tricks.

    L = E_z,x[f(D(G(z)) − D(x))],  f(t) = −log(1 + e^−t)                                                        (eq. 2)

Each real image is paired with a generated one; γ/2 (E_x|∇D(x)|² + E_z|∇D(G(z))|²), R1 and R2, make the game converge
locally.  Networks of grouped residual blocks without any norm, initialised so that they need none.  Adam without
momentum.
"""

from __future__ import annotations

from typing import Literal

from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.losses import GradientAt, Objective, Penalties
from gan_core.options.networks import Generator, Judge, R3ganDiscriminator, R3ganGenerator
from gan_core.options.optimizers import Adam, Optimizer


class R3gan(ImageGanOptions):
    """Relativistic pairing with R1 and R2, and networks without norm."""

    recipe: Literal["r3gan"] = "r3gan"
    generator: Generator = R3ganGenerator()
    discriminator: Judge = R3ganDiscriminator()
    objective: Objective = "relativistic"
    penalties: Penalties = Penalties(r1=GradientAt(gamma=1.0), r2=GradientAt(gamma=1.0))
    generator_optimizer: Optimizer = Adam(betas=(0.0, 0.99))
    discriminator_optimizer: Optimizer = Adam(betas=(0.0, 0.99))
