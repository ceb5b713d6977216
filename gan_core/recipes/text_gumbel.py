"""GANs of characters by the Gumbel-softmax (Kusner & Hernández-Lobato 2016, arXiv:1611.04051): recurrent networks.

The generator draws each character and reads it before it draws the next.  What the discriminator sees is one-hot, real
or not; what the generator learns from is the gradient of a softmax at a temperature that falls with training:

    common         x̃ = G(z, g, c; τ),  y = one_hot(argmax(h + g)),  ∂y := ∂ softmax((h + g) / τ)            (section 2)
    discriminator  the objective of D(x) and D(x̃)
    generator      the objective of D(x̃), through all characters

τ is a function of the position, and the Gumbel noise g is drawn with z: of all of it the generator is a pure function.
No gradient of D is penalised: dropout of what it sees is what holds it back.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gan_core.losses.adversarial import OBJECTIVES
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.models.text_rnn import TextRnnDiscriminator, TextRnnGenerator
from gan_core.options.text import TextGumbelOptions
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Batch, DataSpec, Loss, Networks, Phase, judgement
from gan_core.recipes.text import DISCRIMINATOR, GENERATOR, OfText


class TextGumbel(OfText):
    """A generator that writes and a discriminator that reads, both recurrent."""

    def __init__(self, options: TextGumbelOptions, data: DataSpec) -> None:
        super().__init__(options, data)
        self.options = options
        self.made_of = {**self.sizes, "width": options.width}
        self.objective = OBJECTIVES[options.objective]

    def networks(self) -> dict[str, nn.Module]:
        return {GENERATOR: TextRnnGenerator(latent=self.options.latent, **self.made_of),
                DISCRIMINATOR: TextRnnDiscriminator(dropout=self.options.dropout, **self.made_of)}

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(DISCRIMINATOR, (DISCRIMINATOR,), self.options.discriminator_optimizer),
                Phase(GENERATOR, (GENERATOR,), self.options.generator_optimizer))

    def common(self, nets: Networks, batch: Batch, draw: Draw) -> Batch:
        """Texts at the temperature of this position."""
        inputs = self.inputs(draw, *self.label(batch))
        temperature = torch.tensor(self.options.temperature.at(draw.position), device=draw.device)
        return {"fake": nets[GENERATOR](**inputs, temperature=temperature)}

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        label = self.label(batch)
        if phase == GENERATOR:
            loss = self.objective.generator(nets[DISCRIMINATOR](batch["fake"], *label),
                                            self._real_logits(nets, batch))
            return Loss(loss, {"loss/generator": loss})
        real = nets[DISCRIMINATOR](self.real(batch), *label)
        fake = nets[DISCRIMINATOR](batch["fake"].detach(), *label)
        loss = self.objective.discriminator(real, fake)
        return Loss(loss, {"loss/discriminator": loss, **judgement(real, fake, self.objective.margin)})

    def _real_logits(self, nets: Networks, batch: Batch) -> Tensor | None:
        """What generated texts are paired with; nothing here trains on it."""
        if not self.objective.paired:
            return None
        with torch.no_grad():
            return nets[DISCRIMINATOR](self.real(batch), *self.label(batch))

    def logits(self, nets: Networks, batch: Batch) -> dict[str, Tensor]:
        return {DISCRIMINATOR: nets[DISCRIMINATOR](self.real(batch), *self.label(batch))}

    def inputs(self, draw: Draw, condition: Tensor | None = None) -> dict[str, Tensor]:
        """The noise of the characters beside z; normal, of which the generator makes Gumbel's."""
        return {**self.told(draw, condition, self.options.latent), "noise": draw.normal("noise", *self.shape)}

    def generate(self, nets: Networks, inputs: Mapping[str, Tensor]) -> Tensor:
        return nets[GENERATOR](**inputs)

    def published(self) -> tuple[tuple[str, ...], GeneratorSpec]:
        inputs = {"z": InputSpec(shape=(self.options.latent,), distribution="normal"),
                  "noise": InputSpec(shape=self.shape, distribution="normal"), **self.label_input}
        options = {**self.made_of, "latent": self.options.latent}
        return (GENERATOR,), self.spec("text_rnn_generator", options, inputs)
