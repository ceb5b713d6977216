"""The seam between a GAN system and the engine that trains it.

A recipe says which networks there are, which phases train which of them, what each phase's loss is, and what sampling
means.  The engine owns order, optimizers, averaging, workers and checkpoints, and knows no recipe by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from gan_core.config import Adam, Experiment
from gan_core.models.spec import GeneratorSpec
from gan_core.recipes.draw import Draw
from gan_core.registry import RECIPES

Networks = Mapping[str, Callable[..., Tensor]]
Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class DataSpec:
    """What a recipe must know of the data.

    shape: of one example, (C, H, W) for images.  classes: 0 without labels.  kind: image, audio, tokens or video.
    """

    shape: tuple[int, int, int]
    classes: int
    kind: str = "image"


@dataclass(frozen=True)
class Phase:
    """One optimizer step: its name, the networks it trains, and how.  Only those networks require grad in it."""

    name: str
    networks: tuple[str, ...]
    optimizer: Adam


class Loss(NamedTuple):
    """per_example: [b], the engine descends its mean.  scalars: tensors of any shape, averaged for the curves."""

    per_example: Tensor
    scalars: Mapping[str, Tensor]


class Recipe(Protocol):
    """One GAN system; one file each."""

    averaged: tuple[str, ...]
    """Networks of which an exponential moving average is kept; `generate` is given these averages."""

    def networks(self) -> dict[str, nn.Module]:
        """All networks with fresh weights; the engine seeds torch before it asks."""

    def phases(self) -> tuple[Phase, ...]:
        """The steps taken on each batch, in order."""

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        """The loss of one phase on this worker's rows.  nets: call them, read no attribute of theirs."""

    def inputs(self, draw: Draw, condition: Tensor | None) -> dict[str, Tensor]:
        """What `generate` needs for draw.count samples.  condition: [n] int64 labels, or None."""

    def generate(self, nets: Networks, inputs: Mapping[str, Tensor]) -> Tensor:
        """Samples [n, …] in the data's own range; pure, all randomness is in `inputs`."""

    def published(self) -> tuple[str, GeneratorSpec]:
        """The network that a bundle carries, by name, and how the bundle builds and feeds it."""


def build_recipe(experiment: Experiment, data: DataSpec) -> Recipe:
    """The recipe that an experiment names, for this data.  ConfigError when the two do not fit."""
    recipe: Recipe = RECIPES.get(experiment.recipe)(experiment.model, data)
    return recipe
