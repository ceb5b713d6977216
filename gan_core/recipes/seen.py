"""Images as a discriminator sees them: with noise, and augmented, real and generated ones alike."""

from __future__ import annotations

from torch import Tensor, nn

from gan_core.options.image_gan import ImageGanOptions
from gan_core.options.losses import Ada, Augmentation, DiffAugment
from gan_core.recipes.ada import AdaAugment
from gan_core.recipes.diffaugment import diffaugment
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Networks

AUGMENT = "augment"  # the network without parameters that holds ADA's probability


def augmentation_of(settings: Augmentation | None) -> dict[str, nn.Module]:
    """The network that augments, where it has a state."""
    return {AUGMENT: AdaAugment(settings)} if isinstance(settings, Ada) else {}


def as_seen(images: Tensor, options: ImageGanOptions, nets: Networks, draw: Draw) -> Tensor:
    """[n, C, H, W] to the same; differentiable, and a function of the draw."""
    noise = options.instance_noise
    if noise is not None and draw.position < noise.until:
        std = noise.std * (1 - draw.position / noise.until)
        images = images + std * draw.normal("instance noise", *images.shape[1:])
    match options.augment:
        case DiffAugment(policy=policy):
            return diffaugment(images, draw, policy)
        case Ada():
            return nets[AUGMENT](images, draw)
    return images
