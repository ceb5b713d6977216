"""The settings of CUT: one translator, one judge, and features of patches that say which came of which."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gan_core.block import Config, Count
from gan_core.options.optimizers import Adam, Optimizer


class CutOptions(Config):
    """CUT (Park et al. 2020, arXiv:2007.15651) with the paper's weights and learning rates.

    The paper trains 200 epochs with these rates and 200 more in which they fall to 0: `fall` of either optimizer.  Its
    FastCUT is nce=10 and identity_nce=0.
    """

    recipe: Literal["cut"] = "cut"
    width: Count = Field(64, description="the one dial of translator and judge: channels of their widest images")
    blocks: Count = Field(9, description="residual blocks of the translator")
    objective: Literal["least_squares", "non_saturating", "hinge"] = Field(
        "least_squares", description="what translator and judge play for; the paper's is least squares")
    nce: float = Field(1.0, ge=0, description="weight of how well patches of a translation can be told from others by "
                                              "the patches they are made of: λ_X")
    identity_nce: float = Field(1.0, ge=0, description="the same of images that are in the second domain already: λ_Y")
    temperature: float = Field(0.07, gt=0, description="of the softmax over patches: τ")
    patches: Count = Field(256, description="places of each map that are compared, at most as many as it has")
    features: Count = Field(256, description="numbers that a patch becomes")
    translator_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
    judge_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
