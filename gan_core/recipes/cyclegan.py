"""CycleGAN (Zhu et al. 2017, arXiv:1703.10593): translation between two sets of images of which no two are a pair.

Translators G = `to_b` and F = `to_a`, judges D_A and D_B that tell images of a domain from what is translated to it:

    L(G, F, D_A, D_B) = L_GAN(G, D_B) + L_GAN(F, D_A) + λ L_cyc(G, F)                                        (eq. 3)
    L_cyc = E_a[|F(G(a)) − a|₁] + E_b[|G(F(b)) − b|₁]                                                        (eq. 2)
    L_identity = E_b[|G(b) − b|₁] + E_a[|F(a) − a|₁]                                              (section 5.2, ½ λ)
    L_GAN:  G minimises E_a[(D_B(G(a)) − 1)²],  D_B minimises ½ E_b[(D_B(b) − 1)²] + ½ E_a[D_B(G(a))²]    (section 4)

Judges see patches, and translations of earlier steps beside fresh ones.  |·|₁ is the mean over an image's values.  A
batch holds as many images of either domain, each in an order of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from gan_core.errors import ConfigError
from gan_core.losses.adversarial import OBJECTIVES
from gan_core.models.patch_discriminator import PatchDiscriminator
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.models.translator import Translator, translated
from gan_core.options.cyclegan import CycleganOptions
from gan_core.recipes.draw import Draw
from gan_core.recipes.image_pool import ImagePool
from gan_core.recipes.recipe import Batch, DataSpec, Defaults, Loss, Networks, Phase, judgement

TRANSLATORS = ("to_b", "to_a")
JUDGES = ("judge_b", "judge_a")
HALVED = 2.0  # LSGAN halves the generator's loss, Zhu et al. do not, and `cycle` is beside theirs


class Cyclegan(Defaults):
    """Two translators and two judges."""

    averaged = TRANSLATORS

    def __init__(self, options: CycleganOptions, data: DataSpec) -> None:
        if data.kind != "image" or data.domains != "unpaired":
            raise ConfigError("model.recipe: cyclegan translates between two unpaired domains of images, and this data "
                              "set has none; data.source=unpaired or data.source=two_domains works")
        channels, height, width = data.shape
        self.options, self.shape = options, (channels, height, width)
        self.objective = OBJECTIVES[options.objective]

    def networks(self) -> dict[str, nn.Module]:
        o = self.options
        pools = {name: ImagePool(o.pool, self.shape) for name in ("pool_b", "pool_a")} if o.pool else {}
        return {
            "to_b": Translator(self.shape, o.width, o.blocks), "to_a": Translator(self.shape, o.width, o.blocks),
            "judge_b": PatchDiscriminator(self.shape, o.width), "judge_a": PatchDiscriminator(self.shape, o.width),
            **pools,
        }

    def phases(self) -> tuple[Phase, ...]:
        # judges first: translations are the same for both then, also where a batch is taken in parts
        return (Phase("judges", JUDGES, self.options.judge_optimizer),
                Phase("translators", TRANSLATORS, self.options.translator_optimizer))

    def common(self, nets: Networks, batch: Batch, draw: Draw) -> Batch:
        """What the judges see, and what the translators then learn from."""
        return {"fake_b": nets["to_b"](batch["image"]), "fake_a": nets["to_a"](batch["image_b"])}

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        if phase == "translators":
            return self._translators_loss(nets, batch["image"], batch["image_b"], batch["fake_a"], batch["fake_b"])
        of_b = self._judge_loss(nets, "b", batch["image_b"], batch["fake_b"].detach(), draw)
        of_a = self._judge_loss(nets, "a", batch["image"], batch["fake_a"].detach(), draw)
        return Loss(of_b.per_example + of_a.per_example, {**of_b.scalars, **of_a.scalars})

    def _translators_loss(self, nets: Networks, a: Tensor, b: Tensor, fake_a: Tensor, fake_b: Tensor) -> Loss:
        to_b, to_a, o = nets["to_b"], nets["to_a"], self.options
        fooled = HALVED * (self._fooling(nets["judge_b"], fake_b) + self._fooling(nets["judge_a"], fake_a))
        cycle = distance(to_a(fake_b), a) + distance(to_b(fake_a), b)
        total, scalars = fooled + o.cycle * cycle, {"loss/translators": fooled, "loss/cycle": cycle}
        if o.identity:
            identity = distance(to_b(b), b) + distance(to_a(a), a)
            total, scalars = total + o.identity * identity, scalars | {"loss/identity": identity}
        return Loss(total, scalars)

    def _fooling(self, judge: Callable[..., Tensor], fake: Tensor) -> Tensor:
        return self.objective.generator(judge(fake), None).mean(1)

    def _judge_loss(self, nets: Networks, domain: str, real: Tensor, fake: Tensor, draw: Draw) -> Loss:
        """Of each image, the mean over its patches."""
        if self.options.pool:
            fake = nets[f"pool_{domain}"](fake, draw.within(domain))
        real_logits, fake_logits = nets[f"judge_{domain}"](real), nets[f"judge_{domain}"](fake)
        loss = self.objective.discriminator(real_logits, fake_logits).mean(1)
        told = judgement(real_logits, fake_logits, self.objective.margin)
        return Loss(loss, {f"loss/judge_{domain}": loss, **{f"{name}_{domain}": value for name, value in told.items()}})

    def logits(self, nets: Networks, batch: Batch) -> dict[str, Tensor]:
        """Of each image, the mean over its patches."""
        of_b, of_a = nets["judge_b"](batch["image_b"]), nets["judge_a"](batch["image"])
        return {"judge_b": of_b.mean(1), "judge_a": of_a.mean(1)}

    def inputs(self, draw: Draw, condition: Tensor | None) -> dict[str, Tensor]:
        """Nothing is drawn: an image is translated in one way."""
        return {} if condition is None else {"label": condition}

    def generate(self, nets: Networks, inputs: Mapping[str, Tensor]) -> Tensor:
        return translated(nets["to_b"], nets["to_a"], **inputs)

    def published(self) -> tuple[tuple[str, ...], GeneratorSpec]:
        o = self.options
        inputs = {"image": InputSpec(shape=self.shape, distribution="image"),
                  "label": InputSpec(shape=(), distribution="condition", classes=2)}
        options = {"shape": self.shape, "width": o.width, "blocks": o.blocks}
        return TRANSLATORS, GeneratorSpec(family="translators", options=options, inputs=inputs, output=self.shape)


def distance(images: Tensor, others: Tensor) -> Tensor:
    """Mean absolute difference of each image from the other: [n, C, H, W], [n, C, H, W] -> [n]."""
    return (images - others).abs().flatten(1).mean(1)
