"""The settings of the GANs of text: one of convolutions, whose texts are soft, and one of recurrent networks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gan_core.block import Config, Count
from gan_core.options.optimizers import Adam, Optimizer


class TextOptions(Config):
    """What every GAN of sequences of characters has."""

    latent: Count = Field(128, description="numbers in one latent vector z")
    conditional: bool = Field(True, description="learn one distribution per label")


class TextWganGpOptions(TextOptions):
    """WGAN-GP on one-hot characters (Gulrajani et al. 2017, arXiv:1704.00028, section 5) with its optimizer and sizes.

    The section has 10 critic steps for each of the generator in the code that goes with it, and 5 elsewhere.
    """

    recipe: Literal["text_wgan_gp"] = "text_wgan_gp"
    width: Count = Field(512, description="channels of every convolution of both networks")
    blocks: Count = Field(5, description="residual blocks of either network")
    critic_steps: Count = Field(5, description="steps of the critic for each step of the generator")
    penalty: float = Field(10.0, gt=0, description="weight of how far the critic's gradients are from norm 1")
    generator_optimizer: Optimizer = Adam(learning_rate=1e-4, betas=(0.5, 0.9))
    critic_optimizer: Optimizer = Adam(learning_rate=1e-4, betas=(0.5, 0.9))


class Temperature(Config):
    """What the Gumbel-softmax divides by: as a function of the images, or texts, seen so far."""

    start: float = Field(5.0, gt=0, le=100)
    end: float = Field(1.0, gt=0, le=100)
    until: Count = Field(256_000, description="texts after which it stays at `end`")
    shape: Literal["linear", "exponential"] = Field("linear", description="exponential: by the same factor each text")

    def at(self, position: int) -> float:
        """The temperature after so many texts."""
        share = min(1.0, position / self.until)
        if self.shape == "linear":
            return self.start + share * (self.end - self.start)
        return float(self.start * (self.end / self.start) ** share)


class TextGumbelOptions(TextOptions):
    """Recurrent networks and the Gumbel-softmax (Kusner & Hernández-Lobato 2016, arXiv:1611.04051)."""

    recipe: Literal["text_gumbel"] = "text_gumbel"
    width: Count = Field(128, description="numbers in the state of both networks")
    objective: Literal["non_saturating", "relativistic", "hinge", "least_squares"] = Field(
        "non_saturating", description="what the two play for; the paper's is the first")
    temperature: Temperature = Temperature()
    dropout: float = Field(0.25, ge=0, lt=1, description="share of the numbers of each embedded character that the "
                                                         "discriminator does not see: what keeps it from knowing the "
                                                         "texts by heart, in place of a penalty on its gradient")
    generator_optimizer: Optimizer = Adam(learning_rate=1e-3, betas=(0.5, 0.99))
    discriminator_optimizer: Optimizer = Adam(learning_rate=1e-3, betas=(0.5, 0.99))
