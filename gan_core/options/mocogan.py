"""The settings of MoCoGAN: one generator of clips, a judge of single frames and a judge of whole clips."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gan_core.block import Config, Count
from gan_core.options.optimizers import Adam, Optimizer


class MocoganOptions(Config):
    """MoCoGAN (Tulyakov et al. 2018, arXiv:1707.04993), class-conditional, its judges held by R1."""

    recipe: Literal["mocogan"] = "mocogan"
    content: Count = Field(50, description="numbers that say what is seen, the same in all frames of a clip")
    motion: Count = Field(10, description="numbers that say how it moves, others in each frame")
    width: Count = Field(64, description="the one dial of all three networks: channels of their widest maps")
    conditional: bool = Field(True, description="learn one distribution per label")
    objective: Literal["non_saturating", "least_squares", "hinge"] = Field(
        "non_saturating", description="what generator and judges play for")
    r1: float = Field(1.0, ge=0, description="gamma of R1 in both judges; 0: none")
    generator_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
    judge_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
