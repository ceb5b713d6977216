"""The settings of CycleGAN: two translators, a judge for each of two unpaired domains, and what ties them together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gan_core.block import Config, Count
from gan_core.options.optimizers import Adam, Optimizer


class CycleganOptions(Config):
    """CycleGAN (Zhu et al. 2017, arXiv:1703.10593) with the paper's weights and learning rates.

    The paper trains 100 epochs with these rates and 100 more in which they fall to 0: `fall` of either optimizer.
    """

    recipe: Literal["cyclegan"] = "cyclegan"
    width: Count = Field(64, description="the one dial of all four networks: channels of their widest images")
    blocks: Count = Field(6, description="residual blocks of a translator; 9 from 256 pixels on")
    objective: Literal["least_squares", "non_saturating", "hinge"] = Field(
        "least_squares", description="what translators and judges play for; the paper's is least squares")
    cycle: float = Field(10.0, ge=0, description="weight of how far an image is from itself, translated and back")
    identity: float = Field(5.0, ge=0, description="weight of how far an image that is in a domain already is moved by "
                                                   "the translation to it; 0 lets colours change freely")
    pool: int = Field(50, ge=0, description="past translations of each domain that its judge also sees; 0: none")
    translator_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
    judge_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
