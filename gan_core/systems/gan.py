"""GAN (Goodfellow et al. 2014, arXiv:1406.2661).

    min_G max_D V(D, G) = E_x[log D(x)] + E_z[log(1 − D(G(z)))]                                               (eq. 1)

Algorithm 1: k steps of the discriminator (`critic_steps`, 1 in the paper), each ascending V on a batch of x and one of
z; then one step of the generator.  Section 3: "rather than training G to minimize log(1 − D(G(z))) we can train G to
maximize log D(G(z))", whose gradient does not vanish while D wins.  That is `objective: non_saturating`; the game as
equation 1 has it is `objective: minimax`.  Both networks are multilayer perceptrons, trained by SGD with momentum there
and by Adam here; `generator_optimizer: {algorithm: sgd, momentum: 0.5}` brings it back.
"""

from __future__ import annotations

from typing import Literal

from gan_core.block import Count
from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.losses import Objective
from gan_core.options.networks import Generator, Judge, MlpDiscriminator, MlpGenerator
from gan_core.options.optimizers import Adam, Optimizer


class Gan(ImageGanOptions):
    """Goodfellow's GAN: fully connected networks, non-saturating or minimax."""

    recipe: Literal["gan"] = "gan"
    latent: Count = 100
    conditional: bool = False
    generator: Generator = MlpGenerator()
    discriminator: Judge = MlpDiscriminator(dropout=0.3)
    objective: Objective = "non_saturating"
    generator_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
    discriminator_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
