"""The settings of a GAN of images: what every system of one generator has.  A recipe's own defaults are its paper's."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from gan_core.block import Config, Count
from gan_core.options.losses import Augmentation, InstanceNoise, Objective, Penalties, Share, Targets
from gan_core.options.merge import over_defaults
from gan_core.options.networks import DcganDiscriminator, DcganGenerator, Generator, Judge
from gan_core.options.optimizers import Adam, Optimizer
from gan_core.options.refusals import refuse_what_cannot_work


class ImageGanOptions(Config):
    """One generator against one discriminator or several."""

    latent: Count = Field(64, description="numbers in one latent vector z")
    width: Count = Field(64, description="the one dial of both networks: channels of their widest images, or their "
                                         "family's own measure")
    conditional: bool = Field(True, description="learn one distribution per label, or per value of the attributes")
    attributes: tuple[str, ...] = Field((), description="attributes of the data to learn by, in place of its label",
                                        examples=[["smiling", "hair"]])
    wrong_labels: Share = Field(0.0, description="share of training examples that are given a label drawn at random")
    generator: Generator = DcganGenerator()
    discriminator: Judge = DcganDiscriminator()
    discriminators: Count = Field(1, description="so many, each with weights of its own; the generator learns from the "
                                                 "mean of their losses")
    objective: Objective = Field("non_saturating", description="what the two play for")
    critic_steps: Count = Field(1, description="steps of the discriminator for each step of the generator")
    auxiliary_weight: float = Field(1.0, gt=0, description="of the classifier's loss, for condition: auxiliary")
    penalties: Penalties = Penalties()
    targets: Targets = Targets()
    instance_noise: InstanceNoise | None = Field(None, examples=[{"std": 0.1, "until": 51_200}])
    augment: Augmentation | None = Field(None, description="of what discriminators see, for small data",
                                         examples=[{"method": "ada"}])
    generator_optimizer: Optimizer = Adam()
    discriminator_optimizer: Optimizer = Adam()

    @property
    def families(self) -> tuple[str, ...]:
        """The network families that the recipe builds, by their registered names."""
        return f"{self.generator.family}_generator", f"{self.discriminator.family}_discriminator"

    @model_validator(mode="before")
    @classmethod
    def _what_is_left_out(cls, given: Any) -> Any:
        return over_defaults(cls, given)

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        refuse_what_cannot_work(self)
        return self
