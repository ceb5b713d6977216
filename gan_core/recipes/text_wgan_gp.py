"""WGAN-GP on characters (Gulrajani et al. 2017, arXiv:1704.00028, section 5): texts of a softmax against one-hot ones.

The generator's softmax goes into the critic as it is: no character is drawn while it learns, and the critic is a
1-Lipschitz function on the simplex, which is a distance between what is soft and what is one-hot too.

    common  x̃ = G(z, c)                                                                            once for both phases
    critic  L = D(x̃) − D(x) + λ (|∇ D(x̂)|₂ − 1)²,  x̂ = ε x + (1 − ε) x̃,  ε uniform                      (algorithm 1)
    generator  −D(x̃), each `critic_steps` steps

A sample's characters are those of the highest probability.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from gan_core.losses.adversarial import critic_g, wasserstein_d
from gan_core.losses.penalties import between, unit_norm
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.models.text_conv import TextConvDiscriminator, TextConvGenerator
from gan_core.options.text import TextWganGpOptions
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Batch, DataSpec, Loss, Networks, Phase
from gan_core.recipes.text import GENERATOR, OfText

CRITIC = "critic"


class TextWganGp(OfText):
    """A generator and a critic, both of convolutions along the text."""

    def __init__(self, options: TextWganGpOptions, data: DataSpec) -> None:
        super().__init__(options, data)
        self.options = options
        self.made_of = {**self.sizes, "width": options.width, "blocks": options.blocks}

    def networks(self) -> dict[str, nn.Module]:
        return {GENERATOR: TextConvGenerator(latent=self.options.latent, **self.made_of),
                CRITIC: TextConvDiscriminator(**self.made_of)}

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(CRITIC, (CRITIC,), self.options.critic_optimizer),
                Phase(GENERATOR, (GENERATOR,), self.options.generator_optimizer, every=self.options.critic_steps))

    def common(self, nets: Networks, batch: Batch, draw: Draw) -> Batch:
        return {"fake": self.generate(nets, self.inputs(draw, *self.label(batch)))}

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        if phase == GENERATOR:
            loss = critic_g(nets[CRITIC](batch["fake"], *self.label(batch)))
            return Loss(loss, {"loss/generator": loss})
        return self._critic_loss(nets, self.real(batch), batch["fake"].detach(), self.label(batch), draw)

    def _critic_loss(
        self, nets: Networks, real: Tensor, fake: Tensor, label: tuple[Tensor, ...], draw: Draw
    ) -> Loss:
        of_real, of_fake = nets[CRITIC](real, *label), nets[CRITIC](fake, *label)
        points = between(real, fake, draw.uniform("gradient"))
        penalty = self.options.penalty * unit_norm(points, nets[CRITIC](points, *label))
        loss = wasserstein_d(of_real, of_fake)
        return Loss(loss + penalty, {
            "loss/critic": loss, "penalty/gradient": penalty, "wasserstein/estimate": -loss,
            "logits/real": of_real, "logits/fake": of_fake})

    def logits(self, nets: Networks, batch: Batch) -> dict[str, Tensor]:
        return {CRITIC: nets[CRITIC](self.real(batch), *self.label(batch))}

    def inputs(self, draw: Draw, condition: Tensor | None = None) -> dict[str, Tensor]:
        return self.told(draw, condition, self.options.latent)

    def generate(self, nets: Networks, inputs: Mapping[str, Tensor]) -> Tensor:
        return nets[GENERATOR](**inputs)

    def published(self) -> tuple[tuple[str, ...], GeneratorSpec]:
        inputs = {"z": InputSpec(shape=(self.options.latent,), distribution="normal"), **self.label_input}
        options = {**self.made_of, "latent": self.options.latent}
        return (GENERATOR,), self.spec("text_conv_generator", options, inputs)
