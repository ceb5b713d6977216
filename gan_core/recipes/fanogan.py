"""f-AnoGAN (Schlegl et al. 2019, "Fast unsupervised anomaly detection with generative adversarial networks").

A Wasserstein GAN G, D of normal images, and an encoder E trained by izi_f, from images to z and back to images, while
G and D stand still:

    L(E) = |x − G(E(x))|² / n + κ |f(x) − f(G(E(x)))|² / n_d                                              (izi_f)
    A(x) = |x − G(E(x))|² / n + κ |f(x) − f(G(E(x)))|² / n_d                                     (anomaly score)

f: what D reads its verdict off, n_d numbers.  n: an image's values.  A normal image comes back nearly as it was; what
was never trained on does not, and both distances are large.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gan_core.models.anogan import Encoder, FeatureJudge, squared
from gan_core.models.spec import GeneratorSpec
from gan_core.options.fanogan import FanoganOptions
from gan_core.recipes.draw import Draw
from gan_core.recipes.image_gan import DISCRIMINATOR, GENERATOR, ImageGan
from gan_core.recipes.recipe import Batch, DataSpec, Loss, Networks, Phase

ENCODER = "encoder"
PUBLISHED = (GENERATOR, DISCRIMINATOR, ENCODER)


class Fanogan(ImageGan):
    """The game of one generator, and a third phase for the encoder."""

    averaged = PUBLISHED
    options: FanoganOptions

    def __init__(self, options: FanoganOptions, data: DataSpec) -> None:
        super().__init__(options, data)

    def networks(self) -> dict[str, nn.Module]:
        made = super().networks()
        return {**made, DISCRIMINATOR: FeatureJudge(made[DISCRIMINATOR]), ENCODER: Encoder(**self._encoder_options)}

    @property
    def _encoder_options(self) -> dict[str, Any]:
        return {"shape": self.shape, "latent": self.options.latent, "width": self.options.width}

    def phases(self) -> tuple[Phase, ...]:
        return (*super().phases(), Phase(ENCODER, (ENCODER,), self.options.encoder_optimizer))

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        return self._encoder_loss(nets, batch) if phase == ENCODER else super().loss(phase, nets, batch, draw)

    def _encoder_loss(self, nets: Networks, batch: Batch) -> Loss:
        """izi_f, on images as they are: neither augmented nor with noise."""
        image = batch["image"]
        rebuilt = nets[GENERATOR](z=nets[ENCODER](image))
        of_image, of_rebuilt = nets[DISCRIMINATOR](torch.cat([image, rebuilt]), features=True).chunk(2)
        pixels, features = squared(image, rebuilt), squared(of_image, of_rebuilt)
        scalars = {"loss/encoder_pixels": pixels, "loss/encoder_features": features}
        return Loss(pixels + self.options.feature_weight * features, scalars)

    def published(self) -> tuple[tuple[str, ...], GeneratorSpec]:
        (_, alone), (generator, judge) = super().published(), self.options.families
        options = {
            "generator": {"family": generator, "options": self._generator_options},
            "discriminator": {"family": judge, "options": self._judge_options},
            "encoder": self._encoder_options, "feature_weight": self.options.feature_weight,
        }
        return PUBLISHED, alone.model_copy(update={"family": "anogan", "options": options})
