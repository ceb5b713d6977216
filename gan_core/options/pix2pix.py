"""The settings of pix2pix: a generator that makes one image of a pair from the other, and a judge of pairs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gan_core.block import Config, Count
from gan_core.options.optimizers import Adam, Optimizer

COLUMNS = {"a2b": ("image", "image_b"), "b2a": ("image_b", "image")}


class Pix2pixOptions(Config):
    """pix2pix (Isola et al. 2017, arXiv:1611.07004) with the paper's weights and learning rates.

    The paper trains with batches of 1 to 10 images for 200 epochs, the rates falling to 0 in the second half in the
    authors' code: `fall` of either optimizer.
    """

    recipe: Literal["pix2pix"] = "pix2pix"
    direction: Literal["a2b", "b2a"] = Field(
        "a2b", description="a2b: image_b is made from image; b2a: image from image_b")
    classes_in_input: int = Field(0, ge=0, le=255, description=(
        "where the pixels that are given are class indices 0, 1, …, how many classes; 0: they are levels"))
    width: Count = Field(64, description="the one dial of both networks: channels of their widest images")
    objective: Literal["non_saturating", "least_squares", "hinge"] = Field(
        "non_saturating", description="what generator and judge play for; the paper's is the original GAN's")
    l1: float = Field(100.0, ge=0, description="weight of how far an image is from the one of its pair: λ")
    dropout: float = Field(0.5, ge=0, lt=1, description="of the innermost layers on the way up, in training alone")
    generator_optimizer: Optimizer = Adam(betas=(0.5, 0.999))
    judge_optimizer: Optimizer = Adam(betas=(0.5, 0.999))

    @property
    def target(self) -> str:
        """The column that is made, which everything is measured on."""
        return COLUMNS[self.direction][1]
