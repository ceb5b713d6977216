"""pix2pix (Isola et al. 2017, arXiv:1611.07004): an image from another, learned from pairs of them.

Generator G makes y from x; judge D is shown x beside y, or beside what G makes of it, and tells which:

    L_cGAN(G, D) = E[log D(x, y)] + E[log(1 − D(x, G(x, z)))]                                               (eq. 1)
    L_L1(G)      = E[|y − G(x, z)|₁]                                                                        (eq. 3)
    G*           = arg min_G max_D L_cGAN(G, D) + λ L_L1(G)                                                 (eq. 4)

G descends −log D(x, G(x, z)) instead, and D half its loss (section 3.3).  D judges patches.  |·|₁ is the mean over an
image's values in [−1, 1].

z is dropout in G alone, as in the paper (section 3.1): its masks are drawn for a position in training, and none are
when G is used, so that a translation is a function of the image.  The paper drops then too, and finds little of it in
the images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gan_core.errors import ConfigError
from gan_core.losses.adversarial import OBJECTIVES
from gan_core.models.class_map import channels_of, one_hot
from gan_core.models.patch_discriminator import PatchDiscriminator
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.models.unet import Unet
from gan_core.options.pix2pix import COLUMNS, Pix2pixOptions
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Batch, DataSpec, Defaults, Loss, Networks, Phase, judgement

HALVED = {"least_squares": 1.0}  # LSGAN halves the judge's loss already


class Pix2pix(Defaults):
    """A generator and a judge of pairs."""

    def __init__(self, options: Pix2pixOptions, data: DataSpec) -> None:
        if data.kind != "image" or data.shape_b is None:
            raise ConfigError("model.recipe: pix2pix learns from pairs of images, and this data set has none; "
                              "data.source=paired works, and so does {pair: edges} last in prepare.transforms")
        self.options = options
        self.given, self.wanted = COLUMNS[options.direction]
        shapes = {"image": data.shape, "image_b": data.shape_b}
        (channels, *size), (made, *other) = shapes[self.given], shapes[self.wanted]
        self.shape, self.made = (channels, size[0], size[1]), (made, other[0], other[1])
        self.objective = OBJECTIVES[options.objective]
        self._refuse_sizes()

    def networks(self) -> dict[str, nn.Module]:
        o, (_, height, width) = self.options, self.made
        judged = channels_of(self.shape, o.classes_in_input) + self.made[0]
        return {"generator": Unet(**self._built()), "judge": PatchDiscriminator((judged, height, width), o.width)}

    def phases(self) -> tuple[Phase, ...]:
        # the judge first: what was made is the same for both then, also where a batch is taken in parts
        return (Phase("judge", ("judge",), self.options.judge_optimizer),
                Phase("generator", ("generator",), self.options.generator_optimizer))

    def common(self, nets: Networks, batch: Batch, draw: Draw) -> Batch:
        """What the judge sees, and what the generator then learns from."""
        return {"made": nets["generator"](batch[self.given])}

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        x, y, made = batch[self.given], batch[self.wanted], batch["made"]
        if phase == "judge":
            return self._judge_loss(nets, x, y, made.detach())
        fooled = self.objective.generator(self._judged(nets, x, made), None).mean(1)
        apart = (y - made).abs().flatten(1).mean(1)
        return Loss(fooled + self.options.l1 * apart, {"loss/generator": fooled, "loss/l1": apart})

    def _judge_loss(self, nets: Networks, x: Tensor, y: Tensor, made: Tensor) -> Loss:
        """Of each pair, half the mean over its patches."""
        real, fake = self._judged(nets, x, y), self._judged(nets, x, made)
        loss = HALVED.get(self.options.objective, 0.5) * self.objective.discriminator(real, fake).mean(1)
        return Loss(loss, {"loss/judge": loss, **judgement(real, fake, self.objective.margin)})

    def _judged(self, nets: Networks, x: Tensor, y: Tensor) -> Tensor:
        """Logits [n, patches] of x beside y."""
        return nets["judge"](torch.cat([one_hot(x, n) if (n := self.options.classes_in_input) else x, y], 1))

    def logits(self, nets: Networks, batch: Batch) -> dict[str, Tensor]:
        """Of each pair, the mean over its patches."""
        return {"judge": self._judged(nets, batch[self.given], batch[self.wanted]).mean(1)}

    def inputs(self, draw: Draw, condition: Tensor | None) -> dict[str, Tensor]:
        """Nothing is drawn: an image is translated in one way."""
        return {}

    def generate(self, nets: Networks, inputs: Mapping[str, Tensor]) -> Tensor:
        return nets["generator"](**inputs)

    def published(self) -> tuple[tuple[str, ...], GeneratorSpec]:
        given = InputSpec(shape=self.shape, distribution="image", column=self.given,
                          indices=self.options.classes_in_input)
        spec = GeneratorSpec(family="unet", options=self._built(), inputs={"image": given}, output=self.made)
        return ("generator",), spec

    def _built(self) -> dict[str, Any]:
        o = self.options
        return {"shape": self.shape, "channels": self.made[0], "width": o.width, "dropout": o.dropout,
                "indices": o.classes_in_input}

    def _refuse_sizes(self) -> None:
        (channels, *size), (_, *other) = self.shape, self.made
        if size != other:
            raise ConfigError(f"model.recipe: pix2pix makes images of the size of what it is given, and pairs have "
                              f"{size[0]}x{size[1]} and {other[0]}x{other[1]}; prepare.transforms="
                              f"[{{resize: {max(size)}}}] works")
        if self.options.classes_in_input and channels != 1:
            raise ConfigError(f"model.classes_in_input={self.options.classes_in_input}: {self.given} has {channels} "
                              "channels, and a map of class indices has one, such as a grey PNG of them; "
                              "model.classes_in_input=0 works for images of colours")
