"""The seam between a GAN system and the engine that trains it.

A recipe says which networks there are, which phases train which of them, what each phase's loss is, and what sampling
means.  The engine owns order, optimizers, averaging, workers and checkpoints, and knows no recipe by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from gan_core.config import Experiment
from gan_core.data.attributes import attributes_of
from gan_core.data.shards import Shards
from gan_core.modalities.form import Form, Kind
from gan_core.models.norm import each_by_itself
from gan_core.models.spec import GeneratorSpec
from gan_core.options.conditions import Attribute
from gan_core.options.optimizers import Optimizer
from gan_core.recipes.draw import Draw
from gan_core.registry import RECIPES

Networks = Mapping[str, Callable[..., Tensor]]
Batch = Mapping[str, Tensor]
Margin = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class DataSpec:
    """What a recipe must know of the data.

    shape, kind, rate, symbols: of one example, as of `gan_core.modalities.form.Form`: (C, H, W) for images.  classes: 0
    without labels.  attributes: in the order of the columns of a batch's `attributes`.  domains: 'unpaired' for two of
    them.
    """

    shape: tuple[int, ...]
    classes: int
    kind: Kind = "image"
    attributes: tuple[Attribute, ...] = ()
    domains: str = ""
    rate: float = 0.0
    symbols: tuple[str, ...] = ()

    @staticmethod
    def of(form: Form, classes: int, attributes: tuple[Attribute, ...], facts: Mapping[str, Any]) -> DataSpec:
        """facts: of the shards' manifest."""
        return DataSpec(form.shape, classes, form.kind, attributes, facts.get("domains", ""), form.rate, form.symbols)

    @property
    def form(self) -> Form:
        """What one example is, and what a generator of this data is to make."""
        return Form(kind=self.kind, shape=self.shape, rate=self.rate, symbols=self.symbols)


@dataclass(frozen=True)
class Phase:
    """One optimizer step: its name, the networks it trains, and how.  Only those networks require grad in it.

    every: taken on each step whose number is a multiple of it.  shares: the phase whose optimizer it steps; each of
    the two then takes smaller steps, so that both together go as far as one phase would (Karras et al. 2020,
    arXiv:1912.04958, appendix B).
    """

    name: str
    networks: tuple[str, ...]
    optimizer: Optimizer
    every: int = 1
    shares: str | None = None


class Loss(NamedTuple):
    """per_example: [b], the engine descends its mean.  scalars: tensors of any shape, averaged for the curves."""

    per_example: Tensor
    scalars: Mapping[str, Tensor]


def judged_together(
    judge: Callable[..., Tensor], real: Tensor, fake: Tensor, label: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Logits of real and of generated examples from one forward; batch norms see each kind by itself.

    real, fake: [n, …].  label: [n], of both.  Not for a penalty on one of them: it would be differentiated by both.
    """
    labels = () if label is None else (torch.cat([label, label]),)
    with each_by_itself(2):
        logits = judge(torch.cat([real, fake]), *labels)
    of_real, of_fake = logits.chunk(2)
    return of_real, of_fake


def judgement(real: Tensor, fake: Tensor, margin: Margin | None = None) -> dict[str, Tensor]:
    """How a discriminator does, as scalars for the curves.  real, fake: [n] logits, higher is more real.

    margin(x, y): [n], above 0 where x is told to be real; of a logit itself when left out.
    """
    of_real, of_fake = (real, fake) if margin is None else (margin(real, fake), margin(fake, real))
    right = torch.cat([of_real > 0, of_fake < 0]).float()
    return {"logits/real": real, "logits/fake": fake, "accuracy/discriminator": right}


class Recipe(Protocol):
    """One GAN system; one file each."""

    averaged: tuple[str, ...]
    """Networks of which an exponential moving average is kept; `generate` is given these averages."""

    def networks(self) -> dict[str, nn.Module]:
        """All networks with fresh weights; the engine seeds torch before it asks."""

    def phases(self) -> tuple[Phase, ...]:
        """The steps taken on each batch, in order."""

    def common(self, nets: Networks, batch: Batch, draw: Draw) -> Batch:
        """What several phases of a step read, such as the generated samples: made once, and merged into their batch.

        Every network requires grad here, so a phase that trains a network may descend through it, and the others
        detach.  Where a batch is taken in parts it is made again for each phase, from the same draw.
        """

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        """The loss of one phase on this worker's rows.  nets: call them, read no attribute of theirs."""

    def logits(self, nets: Networks, batch: Batch) -> dict[str, Tensor]:
        """What each discriminator, by name, says of real examples: [n], higher is more real."""

    def inputs(self, draw: Draw, condition: Tensor | None) -> dict[str, Tensor]:
        """What `generate` needs for draw.count samples.  condition: [n] int64 labels, or None."""

    def generate(self, nets: Networks, inputs: Mapping[str, Tensor]) -> Tensor:
        """Samples [n, …] in the data's own range; of tokens scores [n, symbols, T].  All randomness is in `inputs`."""

    def published(self) -> tuple[tuple[str, ...], GeneratorSpec]:
        """The networks that a bundle carries, by name, and how the bundle builds and feeds them.

        Of several, the names of each one's tensors begin with its own: the family is a module with these submodules.
        """

    def weight_loss(self, phase: str, networks: Mapping[str, nn.Module]) -> Loss | None:
        """A loss on the weights themselves, [] alone, of the networks that the phase trains; None for none.

        It is the same on all workers, and is added once, whatever the number of parts.
        """

    def after_step(self, phase: str, networks: Mapping[str, nn.Module]) -> None:
        """What follows a phase's optimizer step, such as weights cut to a range; the same on all workers.

        networks: all of them.
        """


class Defaults:
    """What a recipe need not say."""

    averaged: tuple[str, ...] = ("generator",)

    def common(self, nets: Networks, batch: Batch, draw: Draw) -> Batch:
        """Nothing is shared."""
        return {}

    def weight_loss(self, phase: str, networks: Mapping[str, nn.Module]) -> Loss | None:
        """None."""
        return None

    def after_step(self, phase: str, networks: Mapping[str, nn.Module]) -> None:
        """Nothing."""


def data_of(experiment: Experiment, shards: Shards) -> DataSpec:
    """What the recipe must know of prepared data.  ConfigError where it names attributes that there are not."""
    known = attributes_of(shards, wanted=getattr(experiment.model, "attributes", ()))
    return DataSpec.of(shards.form, shards.classes, known, shards.facts)


def build_recipe(experiment: Experiment, data: DataSpec) -> Recipe:
    """The recipe that an experiment names, for this data.  ConfigError when the two do not fit."""
    recipe: Recipe = RECIPES.get(experiment.recipe)(experiment.model, data)
    return recipe
