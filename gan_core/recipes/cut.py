"""CUT (Park et al. 2020, arXiv:2007.15651): translation between two sets of images without pairs, and one way only.

Translator G = decoder after encoder, judge D of domain b, and heads H that make a vector of each patch that the
encoder sees:

    L = L_GAN(G, D, X, Y) + λ_X L_PatchNCE(G, H, X) + λ_Y L_PatchNCE(G, H, Y)                                (eq. 5)
    L_PatchNCE(G, H, X) = E_x Σ_l Σ_s ℓ(H_l(G_enc(G(x)))_s, H_l(G_enc(x))_s, the other places of x)          (eq. 4)

ℓ is the cross entropy of telling the patch at place s from others of the same image.  So what a patch of a translation
has in common with the one it is made of is kept, and no way back is needed.  In place of sums are means, as in the
authors' code.  Places are drawn anew for each step, and are the same for all images of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gan_core.errors import ConfigError
from gan_core.losses.adversarial import OBJECTIVES
from gan_core.losses.contrastive import patch_nce
from gan_core.models.patch_discriminator import PatchDiscriminator
from gan_core.models.patch_heads import PatchHeads
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.models.translator import Translator, taps_of
from gan_core.options.cut import CutOptions
from gan_core.recipes.cyclegan import HALVED
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Batch, DataSpec, Defaults, Loss, Networks, Phase, judgement


class Cut(Defaults):
    """A translator from a to b, heads that go with it, and a judge of b."""

    averaged = ("translator",)

    def __init__(self, options: CutOptions, data: DataSpec) -> None:
        if data.kind != "image" or data.domains != "unpaired":
            raise ConfigError("model.recipe: cut translates between two unpaired domains of images, and this data set "
                              "has none; data.source=unpaired or data.source=two_domains works")
        channels, height, width = data.shape
        self.options, self.shape = options, (channels, height, width)
        self.objective = OBJECTIVES[options.objective]
        self.taps = taps_of(self.shape, options.width, options.blocks)

    def networks(self) -> dict[str, nn.Module]:
        o = self.options
        return {
            "translator": Translator(self.shape, o.width, o.blocks),
            "heads": PatchHeads([tap.channels for tap in self.taps], o.features),
            "judge": PatchDiscriminator(self.shape, o.width),
        }

    def phases(self) -> tuple[Phase, ...]:
        # the judge first: translations are the same for both then, also where a batch is taken in parts
        return (Phase("judge", ("judge",), self.options.judge_optimizer),
                Phase("translator", ("translator", "heads"), self.options.translator_optimizer))

    def common(self, nets: Networks, batch: Batch, draw: Draw) -> Batch:
        """What the judge sees, and what the translator then learns from."""
        return {"fake_b": nets["translator"](batch["image"])}

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        if phase == "judge":
            return self._judge_loss(nets, batch["image_b"], batch["fake_b"].detach())
        o, fake, real = self.options, batch["fake_b"], batch["image_b"]
        fooled = HALVED * self.objective.generator(nets["judge"](fake), None).mean(1)
        nce = self._nce(nets, batch["image"], fake, draw)
        total, scalars = fooled + o.nce * nce, {"loss/translator": fooled, "loss/nce": nce}
        if o.identity_nce:
            identity = self._nce(nets, real, nets["translator"](real), draw.within("identity"))
            total, scalars = total + o.identity_nce * identity, scalars | {"loss/identity_nce": identity}
        return Loss(total, scalars)

    def _nce(self, nets: Networks, image: Tensor, made: Tensor, draw: Draw) -> Tensor:
        places = self._places(draw)
        with torch.no_grad():
            keys = nets["heads"](nets["translator"](image, places))
        return patch_nce(nets["heads"](nets["translator"](made, places)), keys, self.options.temperature)

    def _places(self, draw: Draw) -> Tensor:
        """[maps, S] int64: places of each map, no two of a map alike."""
        count = min(self.options.patches, *(tap.places for tap in self.taps))
        generator = draw.generator("places")
        return torch.stack([torch.randperm(tap.places, generator=generator, device=draw.device)[:count]
                            for tap in self.taps])

    def _judge_loss(self, nets: Networks, real: Tensor, fake: Tensor) -> Loss:
        """Of each image, the mean over its patches."""
        real_logits, fake_logits = nets["judge"](real), nets["judge"](fake)
        loss = self.objective.discriminator(real_logits, fake_logits).mean(1)
        return Loss(loss, {"loss/judge": loss, **judgement(real_logits, fake_logits, self.objective.margin)})

    def logits(self, nets: Networks, batch: Batch) -> dict[str, Tensor]:
        """Of each image of the second domain, the mean over its patches."""
        return {"judge": nets["judge"](batch["image_b"]).mean(1)}

    def inputs(self, draw: Draw, condition: Tensor | None) -> dict[str, Tensor]:
        """Nothing is drawn: an image is translated in one way."""
        return {}

    def generate(self, nets: Networks, inputs: Mapping[str, Tensor]) -> Tensor:
        return nets["translator"](**inputs)

    def published(self) -> tuple[tuple[str, ...], GeneratorSpec]:
        o = self.options
        options = {"shape": self.shape, "width": o.width, "blocks": o.blocks}
        inputs = {"image": InputSpec(shape=self.shape, distribution="image")}
        return ("translator",), GeneratorSpec(family="translator", options=options, inputs=inputs, output=self.shape)
