"""Class-conditional DCGAN: the non-saturating loss with R1 on a discriminator without norm.

Radford et al. 2016 (arXiv:1511.06434) for the networks, Goodfellow et al. 2014 for the loss, Mescheder et al. 2018
(arXiv:1801.04406) for the penalty.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from gan_core.config import DcganOptions
from gan_core.errors import ConfigError
from gan_core.losses.adversarial import non_saturating_d, non_saturating_g
from gan_core.losses.penalties import zero_centred
from gan_core.models.dcgan import DcganDiscriminator, DcganGenerator
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Batch, DataSpec, Loss, Networks, Phase, judged_together, judgement


class Dcgan:
    """One generator, one discriminator, trained in turn on each batch."""

    averaged = ("generator",)

    def __init__(self, options: DcganOptions, data: DataSpec) -> None:
        if data.kind != "image":
            raise ConfigError(f"model.recipe: dcgan makes images, and this data set holds {data.kind}; "
                              "data of images works, such as data.source=digits")
        if options.conditional and not data.classes:
            raise ConfigError("model.conditional: true, but the data has no labels; model.conditional=false works")
        self.options = options
        self.shape = data.shape
        self.classes = data.classes if options.conditional else 0

    def networks(self) -> dict[str, nn.Module]:
        o = self.options
        return {
            "generator": DcganGenerator(self.shape, self.classes, o.latent, o.width),
            "discriminator": DcganDiscriminator(self.shape, self.classes, o.width),
        }

    def phases(self) -> tuple[Phase, ...]:
        d, g = self.options.discriminator_optimizer, self.options.generator_optimizer
        lazy = Phase("penalty", ("discriminator",), d, every=self.options.r1_every, shares="discriminator")
        return (
            Phase("discriminator", ("discriminator",), d),
            *((lazy,) if self._lazy else ()),
            Phase("generator", ("generator",), g),
        )

    @property
    def _lazy(self) -> bool:
        return self.options.r1_gamma > 0 and self.options.r1_every > 1

    def common(self, nets: Networks, batch: Batch, draw: Draw) -> Batch:
        """The samples that the discriminator sees and the generator then learns from."""
        return {"fake": self.generate(nets, self.inputs(draw, self._label(batch)))}

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        label = self._label(batch)
        match phase:
            case "discriminator":
                return self._d_loss(nets, batch["image"], batch["fake"].detach(), label)
            case "penalty":
                return self._r1_loss(nets, batch["image"], label)
        loss = non_saturating_g(nets["discriminator"](batch["fake"], label))
        return Loss(loss, {"loss/generator": loss})

    def _d_loss(self, nets: Networks, real: Tensor, fake: Tensor, label: Tensor | None) -> Loss:
        penalised = self.options.r1_gamma > 0 and not self._lazy
        if penalised:
            real = real.detach().requires_grad_()
            real_logits, fake_logits = nets["discriminator"](real, label), nets["discriminator"](fake, label)
        else:
            real_logits, fake_logits = judged_together(nets["discriminator"], real, fake, label)
        loss = non_saturating_d(real_logits, fake_logits)
        scalars = {"loss/discriminator": loss, **judgement(real_logits, fake_logits)}
        if penalised:
            r1 = zero_centred(real, real_logits)
            loss = loss + self.options.r1_gamma / 2 * r1
            scalars["penalty/r1"] = r1
        return Loss(loss, scalars)

    def _r1_loss(self, nets: Networks, real: Tensor, label: Tensor | None) -> Loss:
        """R1 alone, as often as r1_every says and as much heavier."""
        real = real.detach().requires_grad_()
        logits = nets["discriminator"](real, label)
        r1 = zero_centred(real, logits)
        # the last bias has no part in R1; without a gradient of it DDP would wait for one: pytorch#47562
        return Loss(self.options.r1_every * self.options.r1_gamma / 2 * r1 + 0 * logits, {"penalty/r1": r1})

    def logits(self, nets: Networks, batch: Batch) -> dict[str, Tensor]:
        return {"discriminator": nets["discriminator"](batch["image"], self._label(batch))}

    def _label(self, batch: Batch) -> Tensor | None:
        return batch["label"] if self.classes else None

    def inputs(self, draw: Draw, condition: Tensor | None) -> dict[str, Tensor]:
        noise = {"z": draw.normal("z", self.options.latent)}
        return noise if condition is None else {**noise, "label": condition}

    def generate(self, nets: Networks, inputs: Mapping[str, Tensor]) -> Tensor:
        return nets["generator"](**inputs)

    def published(self) -> tuple[str, GeneratorSpec]:
        o = self.options
        inputs = {"z": InputSpec(shape=(o.latent,), distribution="normal")}
        if self.classes:
            inputs["label"] = InputSpec(shape=(), distribution="condition", classes=self.classes)
        options = {"shape": self.shape, "classes": self.classes, "latent": o.latent, "width": o.width}
        return "generator", GeneratorSpec(
            family="dcgan_generator", options=options, inputs=inputs, output=self.shape
        )
