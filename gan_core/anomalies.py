"""How unlike what a generator makes an image is.

    found = by_encoder(generator, images)                          # f-AnoGAN: a published `fanogan` model
    found = by_search(generator.at(torch.float32), images)         # AnoGAN: any generator of images from noise alone
    found.score                                                    # [n], higher is less like the training images

AnoGAN (Schlegl et al. 2017, arXiv:1703.05921) searches a latent vector for each image, by steps of Adam on

    L(z) = (1 − λ) mean |x − G(z)| + λ mean |f(x) − f(G(z))|                                              (eq. 4)

which is its score where the search ends.  f: the discriminator's features; without one λ is 0 and the residual alone
counts.  Means, where the paper has sums, so that λ does not hang on how many pixels and features there are.

f-AnoGAN (Schlegl et al. 2019) asks an encoder in place of the search, and squares:

    A(x) = mean (x − G(E(x)))² + κ mean (f(x) − f(G(E(x))))²
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from gan_core.asked import SEARCHED, stream
from gan_core.block import Config, Count
from gan_core.bundle import Generator
from gan_core.errors import ConfigError, DataError, Diverged
from gan_core.models.anogan import AnoGan, squared
from gan_core.pictures import to_uint8

BATCH = 64  # images looked at together

Images = NDArray[np.uint8]
Features = Callable[[Tensor], Tensor]
"""Images [n, C, H, W] in the networks' range, to be differentiated by, to [n, d]."""


class Search(Config):
    """The latent search.  seed: of where it starts, which is a function of it and the image's number."""

    steps: Count = 500
    learning_rate: float = Field(0.02, gt=0)
    weight: float = Field(0.1, ge=0, le=1, description="λ, of the discriminator's features")
    seed: int = Field(0, ge=0, lt=2**63)


@dataclass(frozen=True, eq=False)
class Found:
    """score, residual: [n] float64.  features: the same of the discriminator's; None where there are none.

    rebuilt: the nearest image that the generator makes, [n, C, H, W] uint8.
    """

    score: NDArray[np.float64]
    residual: NDArray[np.float64]
    features: NDArray[np.float64] | None
    rebuilt: Images

    @staticmethod
    def joined(parts: Sequence[Found]) -> Found:
        """All of several, in their order."""
        features = [part.features for part in parts if part.features is not None]
        return Found(np.concatenate([part.score for part in parts]), np.concatenate([part.residual for part in parts]),
                     np.concatenate(features) if features else None, np.concatenate([part.rebuilt for part in parts]))


def has_encoder(generator: Generator) -> bool:
    """Whether `by_encoder` can be asked."""
    return isinstance(generator.network, AnoGan)


def by_encoder(generator: Generator, images: Images) -> Found:
    """f-AnoGAN's scores of images [n, C, H, W].

    ConfigError for a generator without an encoder, DataError for images of another shape, Diverged for scores that are
    not finite.
    """
    network = generator.network
    if not isinstance(network, AnoGan):
        raise ConfigError(f"{generator.uri}: has no encoder; model.recipe=fanogan trains one, or search")
    _refuse_others(generator, images)
    parts = []
    for start in range(0, len(images), BATCH):
        with torch.inference_mode():
            x = _as_seen(generator, images[start : start + BATCH])
            rebuilt = network.rebuilt(x)
            residual, features = squared(x, rebuilt), squared(network.features(x), network.features(rebuilt))
            score = residual + network.feature_weight * features
        parts.append(_found(generator, score, residual, features, rebuilt))
    return Found.joined(parts)


def features_in(generator: Generator) -> Features | None:
    """The features of the discriminator that a bundle carries; None where it carries none."""
    return generator.network.features if isinstance(generator.network, AnoGan) else None


def by_search(
    generator: Generator, images: Images, search: Search | None = None, features: Features | None = None,
    numbers: Sequence[int] | None = None,
) -> Found:
    """AnoGAN's scores of images [n, C, H, W], whose numbers in their set are 0, 1, … or as given.

    What is found for an image does not depend on the others beyond rounding.  features: of a discriminator; without,
    the residual alone counts.  Errors as of `by_encoder`; ConfigError for a generator that takes more than noise.
    """
    (name, given), *others = generator.spec.inputs.items()
    if others or given.distribution != "normal":
        raise ConfigError(f"{generator.uri}: is asked for more than noise, and a search is through noise alone; a "
                          "model that was trained with model.conditional=false works")
    _refuse_others(generator, images)
    search, places = search or Search(), range(len(images)) if numbers is None else numbers
    parts = []
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        drawn = np.stack([stream(search.seed, SEARCHED, int(place)).standard_normal(given.shape)
                          for place in places[start : start + BATCH]])
        z = torch.from_numpy(drawn).to(generator.device, generator.dtype)
        parts.append(_searched(generator, name, _as_seen(generator, part), z, search, features))
    return Found.joined(parts)


def _searched(
    generator: Generator, name: str, x: Tensor, z: Tensor, search: Search, features: Features | None
) -> Found:
    weight = search.weight if features is not None else 0.0
    with torch.no_grad():
        wanted = features(x) if features is not None else None
    z.requires_grad_()
    descent = torch.optim.Adam([z], search.learning_rate)

    def losses() -> tuple[Tensor, Tensor | None, Tensor]:
        made = cast(Tensor, generator.network(**{name: z}))
        return absolute(x, made), None if features is None or wanted is None else absolute(wanted, features(made)), made

    def weighed(residual: Tensor, told: Tensor | None) -> Tensor:
        return residual if told is None else (1 - weight) * residual + weight * told

    with torch.enable_grad():
        for _ in range(search.steps):
            residual, told, _made = losses()
            (z.grad,) = torch.autograd.grad(weighed(residual, told).sum(), z)
            descent.step()
    with torch.no_grad():
        residual, told, made = losses()
    return _found(generator, weighed(residual, told), residual, told, made)


def absolute(one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute difference of each row from the other: [n, …], [n, …] -> [n]."""
    return (one - other).abs().flatten(1).mean(1)


def _as_seen(generator: Generator, images: Images) -> Tensor:
    """In [−1, 1], in the generator's precision and on its device."""
    return torch.from_numpy(images.astype(np.float64)).to(generator.device, generator.dtype) / 127.5 - 1


def _found(generator: Generator, score: Tensor, residual: Tensor, features: Tensor | None, rebuilt: Tensor) -> Found:
    if not bool(torch.isfinite(score).all()):
        raise Diverged(f"{generator.uri}: scores are not finite; take an earlier version, or a lower learning rate")

    def numbers(values: Tensor) -> NDArray[np.float64]:
        return values.double().cpu().numpy()

    return Found(numbers(score), numbers(residual), None if features is None else numbers(features),
                 to_uint8(rebuilt.detach().cpu().numpy()))


def _refuse_others(generator: Generator, images: Images) -> None:
    if images.dtype != np.uint8 or images.shape[1:] != generator.spec.output or not len(images):
        raise DataError(f"images {images.dtype} {list(images.shape)} are not those of {generator.uri}, which are uint8 "
                        f"{['n', *generator.spec.output]}; prepare.transforms bring others to their size")
