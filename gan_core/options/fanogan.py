"""The settings of f-AnoGAN: a Wasserstein GAN of normal images, and an encoder that finds an image's latent vector."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from gan_core.block import Count
from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.losses import GradientPenalty, Objective, Penalties
from gan_core.options.networks import DcganGenerator, Generator
from gan_core.options.optimizers import Adam, Optimizer


class FanoganOptions(ImageGanOptions):
    """f-AnoGAN (Schlegl et al. 2019): WGAN-GP's game, and the encoder's weights as published.

    The encoder learns beside the generator.  As published it learns after it: let `fall` of both other optimizers end
    well before the run does.  Norms do not mix examples, since the encoder's images are others than the generator's.
    """

    recipe: Literal["fanogan"] = "fanogan"
    conditional: bool = False
    generator: Generator = DcganGenerator(norm="layer")
    objective: Objective = "wasserstein"
    critic_steps: Count = 5
    penalties: Penalties = Penalties(gradient=GradientPenalty(weight=10.0))
    feature_weight: float = Field(1.0, ge=0, description="κ: weight of the discriminator's features beside the pixels, "
                                                         "in the encoder's loss and in the anomaly score")
    generator_optimizer: Optimizer = Adam(learning_rate=1e-4, betas=(0.0, 0.9))
    discriminator_optimizer: Optimizer = Adam(learning_rate=1e-4, betas=(0.0, 0.9))
    encoder_optimizer: Optimizer = Adam(learning_rate=1e-4, betas=(0.9, 0.999))

    @model_validator(mode="after")
    def _can_be_inverted(self) -> Self:
        if self.conditional or self.attributes:
            raise ValueError("model.conditional=true: an image that may be abnormal has no class to be asked for; "
                             "model.conditional=false works")
        if self.discriminators > 1:
            raise ValueError(f"model.discriminators={self.discriminators}: features are one discriminator's; "
                             "model.discriminators=1 works")
        for name in ("generator", "discriminator"):
            network = getattr(self, name)
            norm = "batch" if network.family == "biggan" and name == "generator" else getattr(network, "norm", "none")
            if norm in ("batch", "conditional_batch"):
                raise ValueError(f"model.{name}.norm={norm} mixes images that the encoder leads to with others; "
                                 f"model.{name}.norm=layer works, as dcgan and resnet have it")
        return self
