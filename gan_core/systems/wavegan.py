"""WaveGAN (Donahue et al. 2019, arXiv:1802.04208): recordings, made sample by sample by convolutions along time.

WGAN-GP's game (Gulrajani et al. 2017) with DCGAN's networks flattened to one dimension; table 3: z of 100 numbers,
model size d = 64, λ = 10, five steps of the critic for each of the generator, Adam with 1e-4 and (0.5, 0.9), batches of
64.  Section 3.3: phase shuffle of n = 2 keeps the critic from telling fakes by the phase of the artefacts that strides
leave.
"""

from __future__ import annotations

from typing import Literal

from gan_core.block import Count
from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.losses import GradientPenalty, Objective, Penalties
from gan_core.options.networks import Generator, Judge, WaveganDiscriminator, WaveganGenerator
from gan_core.options.optimizers import Adam, Optimizer


class Wavegan(ImageGanOptions):
    """WaveGAN: Wasserstein with a gradient penalty, on recordings."""

    recipe: Literal["wavegan"] = "wavegan"
    latent: Count = 100
    conditional: bool = False
    generator: Generator = WaveganGenerator()
    discriminator: Judge = WaveganDiscriminator()
    objective: Objective = "wasserstein"
    critic_steps: Count = 5
    penalties: Penalties = Penalties(gradient=GradientPenalty(weight=10.0))
    generator_optimizer: Optimizer = Adam(learning_rate=1e-4, betas=(0.5, 0.9))
    discriminator_optimizer: Optimizer = Adam(learning_rate=1e-4, betas=(0.5, 0.9))
