"""What discriminators and generators are trained for: objectives, penalties, labels, noise and augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from gan_core.block import Config, Count

Objective = Literal["minimax", "non_saturating", "least_squares", "hinge", "wasserstein", "relativistic"]
Share = Annotated[float, Field(ge=0, le=1)]


class GradientPenalty(Config):
    """Discriminator gradients of norm 1 between real and generated images (Gulrajani et al. 2017, arXiv:1704.00028)."""

    weight: float = Field(10.0, gt=0)
    one_sided: bool = Field(False, description="norms below 1 cost nothing")


class Dragan(Config):
    """Discriminator gradients of norm 1 around real images (Kodali et al. 2017, arXiv:1705.07215)."""

    weight: float = Field(10.0, gt=0)
    spread: float = Field(0.5, gt=0, description="reach of the perturbation, in standard deviations of the batch")


class ZeroCentred(Config):
    """Discriminator gradients of norm 0 between real and generated images (Thanh-Tung et al. 2019, arXiv:1902.03984).
    """

    weight: float = Field(10.0, gt=0)


class GradientAt(Config):
    """gamma / 2 times the squared norm of the discriminator's gradient at images (Mescheder et al. 2018)."""

    gamma: float = Field(1.0, gt=0)
    every: Count = Field(1, description="steps from one penalty to the next, as much heavier; 16 is usual")


class Consistency(Config):
    """bCR: the discriminator says the same of an image flipped and moved (Zhao et al. 2020, arXiv:2002.04724)."""

    real: float = Field(10.0, ge=0)
    fake: float = Field(10.0, ge=0)
    shift: int = Field(4, ge=0, description="most pixels an image is moved, along each side")


class OnWeights(Config):
    """Weights of the penalties on a network's own weights."""

    l1: float = Field(0.0, ge=0, description="sum of absolute values")
    l2: float = Field(0.0, ge=0, description="half the sum of squares")
    orthogonal: float = Field(0.0, ge=0, description="rows that are not orthogonal (Brock et al. 2019, eq. 3); 1e-4 is "
                                                     "usual")


class Penalties(Config):
    """Penalties on the discriminator; those on weights on either network."""

    clip: float | None = Field(None, gt=0, description="weights are cut to ± this after each step", examples=[0.01])
    gradient: GradientPenalty | None = Field(None, description="WGAN-GP's", examples=[{"weight": 10.0}])
    dragan: Dragan | None = Field(None, examples=[{"weight": 10.0}])
    zero_centred: ZeroCentred | None = Field(None, examples=[{"weight": 10.0}])
    r1: GradientAt | None = Field(None, description="at real images", examples=[{"gamma": 1.0}])
    r2: GradientAt | None = Field(None, description="at generated images", examples=[{"gamma": 1.0}])
    consistency: Consistency | None = Field(None, examples=[{"real": 10.0, "fake": 10.0}])
    discriminator_weights: OnWeights = OnWeights()
    generator_weights: OnWeights = OnWeights()


class Targets(Config):
    """What the discriminator is told is real: labels softened, and some of them wrong."""

    smooth_real: float = Field(0.0, ge=0, lt=0.5, description="one-sided label smoothing: real images count as 1 less "
                                                              "this")
    smooth_fake: float = Field(0.0, ge=0, lt=0.5, description="with it two-sided: generated images count as this")
    flipped: float = Field(0.0, ge=0, lt=0.5, description="share of images whose label is the wrong one")


class InstanceNoise(Config):
    """Noise on all images that the discriminator sees, falling to none (Sønderby et al. 2017, arXiv:1610.04490)."""

    std: float = Field(0.1, gt=0, description="standard deviation at the start; images go from -1 to 1")
    until: Count = Field(description="images after which there is none", examples=[51_200])


class DiffAugment(Config):
    """Differentiable augmentation of real and generated images (Zhao et al. 2020, arXiv:2006.10738)."""

    method: Literal["diffaugment"] = "diffaugment"
    policy: tuple[Literal["color", "translation", "cutout"], ...] = ("color", "translation", "cutout")


class Ada(Config):
    """Adaptive discriminator augmentation (Karras et al. 2020, arXiv:2006.06676).

    The probability p of each transform follows r_t = E[sign D(real)], which rises as the discriminator overfits.
    """

    method: Literal["ada"]
    transforms: tuple[Literal["blit", "geometry", "color", "noise", "cutout"], ...] = ("blit", "geometry", "color")
    target: float = Field(0.6, gt=0, lt=1, description="the r_t that p is steered to")
    images: Count = Field(500_000, description="images in which p goes from 0 to 1 when r_t stays above its target")
    start: Share = Field(0.0, description="p in the beginning")
    fixed: bool = Field(False, description="p stays as it starts")


METHODS = ("diffaugment", "ada")


def _method(value: Any) -> Any:
    return value.get("method", "diffaugment") if isinstance(value, Mapping) else getattr(value, "method", None)


Augmentation = Annotated[
    Annotated[DiffAugment, Tag("diffaugment")] | Annotated[Ada, Tag("ada")], Discriminator(_method)
]
