"""How far samples of the averaged weights are from held-out real examples, looked at again and again.

Which samples and which examples is said here, and is part of what makes a run: the first examples of the validation
split in stored order, and samples of fixed noise that were asked for the same classes or attributes; of a recipe that
translates, the images of the first domain as images of the second.  How the two are compared, and with what network,
is a function of the caller's: training knows no metric.

    compare = fd_domain_against(network)             gan_core.metrics.in_training
    fit(experiment, shards, place, reporter, compare=compare)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gan_core.config import FD_DOMAIN, Experiment, TrainConfig
from gan_core.data.batches import ready
from gan_core.data.shards import RemoteSplit, Shards, Split
from gan_core.errors import ConfigError
from gan_core.modalities.kinds import modality_of
from gan_core.models.spec import InputSpec
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Recipe
from gan_core.train.watch import AT_ONCE, undisturbed

Images = NDArray[Any]
"""uint8 [n, C, H, W], or examples of another kind as they are stored."""
Measure = Callable[[Images], Mapping[str, float]]
"""Generated images to values by their names in the curves; a pure function."""
Compare = Callable[[Images], Measure]
"""Real images to what measures as many generated ones beside them.  Called on rank 0 alone."""

SAMPLES_BYTES = 256 * 2**20  # of generated images at one time, so that large ones are fewer
FEWEST = 2  # that have a covariance
SOURCE, TARGET = 0, 1  # labels of two domains: images of one are translated to the other


@dataclass(frozen=True)
class Asked:
    """What samples are asked for, and compared with.

    real: images.  condition: [n] int64 labels or [n, A] float32 attributes, None without.  images: by
    name, [n, C, H, W] uint8 that are to be translated.
    """

    real: Images
    condition: NDArray[np.int64] | NDArray[np.float32] | None
    images: Mapping[str, Images]

    @staticmethod
    def of(taken: Mapping[str, InputSpec], split: Split, most: int) -> Asked:
        """taken: what the generator takes, by name.  most: examples, where the split has so many."""
        to_translate = [name for name, one in taken.items() if one.distribution == "image"]
        if to_translate:
            labels = np.asarray(split.labels)
            n = min(most, *(int((labels == domain).sum()) for domain in (SOURCE, TARGET)))
            source, real = (split.gather(_spread(np.flatnonzero(labels == domain), n)) for domain in (SOURCE, TARGET))
            return Asked(real, np.full(n, TARGET, np.int64), dict.fromkeys(to_translate, source))
        n = min(most, len(split))
        return Asked(split.gather(np.arange(n)), _condition(taken, split, n), {})


class Gauge:
    """Fixed noise and fixed real examples, and how far apart the samples and the examples are now.

    split: that the examples are of: `validation`; `train` where that has fewer than two, as the test split decides
    nothing.  n: samples, and examples.  What `measure` finds is a function of (seed, networks); it leaves networks,
    gradients, running statistics and random numbers as they were.
    """

    def __init__(
        self, experiment: Experiment, recipe: Recipe, shards: Shards, device: torch.device, compare: Compare
    ) -> None:
        self._recipe, self._seed, self._device = recipe, experiment.seed, device
        self._modality = modality_of(shards.form)
        taken = recipe.published()[1].inputs
        most = max(FEWEST, min(experiment.train.fd_samples, SAMPLES_BYTES // self._modality.example_bytes))
        held_out = shards.splits.get("validation")
        self.split = "validation" if held_out and len(held_out) >= FEWEST else "train"
        asked = Asked.of(taken, _first(shards.split(self.split), most), most)
        self.n = len(asked.real)
        self._measure = compare(asked.real)
        condition = None if asked.condition is None else torch.from_numpy(asked.condition).to(device)
        draw = Draw(experiment.seed, 0, self.n, slice(0, self.n), device, "fd")
        images = {name: torch.from_numpy(values) for name, values in asked.images.items()}
        self._inputs: dict[str, Tensor] = {**recipe.inputs(draw, condition), **images}

    @property
    def facts(self) -> dict[str, str | int]:
        """What it takes to read its values: {"split", "n_real", "n_fake"}."""
        return {"split": self.split, "n_real": self.n, "n_fake": self.n}

    @property
    def note(self) -> str | None:
        """What an operator should know before reading its values; None when all is as usual."""
        if self.split == "validation":
            return None
        return (f"{FD_DOMAIN} compares {self.n:,} samples with as many training examples: the data set has no "
                "validation split, and the test split decides nothing")

    def measure(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """By name; a value that is not finite is left out.  networks: averages in place of what they are averages of.
        """
        with undisturbed(networks.values(), self._seed, self._device):
            found = self._measure(self.samples(networks))
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def samples(self, networks: Mapping[str, nn.Module]) -> Images:
        """The images that are compared, as they are stored."""
        parts = ({name: values[i : i + AT_ONCE] for name, values in self._inputs.items()}
                 for i in range(0, self.n, AT_ONCE))
        stored = self._modality.stored
        return np.concatenate([stored(self._generate(networks, part).float().cpu().numpy()) for part in parts])

    def _generate(self, networks: Mapping[str, nn.Module], part: Mapping[str, Tensor]) -> Tensor:
        fed = {name: ready(values.to(self._device)) for name, values in part.items()}
        return self._recipe.generate(networks, fed)


def refuse_unmeasured(train: TrainConfig, compare: Compare | None) -> None:
    """ConfigError when a setting decides by fd_domain and nobody measures it."""
    field = train.read_by(FD_DOMAIN)
    if field and compare is None:
        raise ConfigError(f"{field}={FD_DOMAIN} needs a feature network, which `gan train` and `gan run` make and this "
                          "does not; a name that is always in the curves works, such as diversity/pairwise")


def _condition(
    taken: Mapping[str, InputSpec], split: Split, n: int
) -> NDArray[np.int64] | NDArray[np.float32] | None:
    """Of the first n examples, what the generator can be asked for; None where it takes neither."""
    if names := [attribute.name for one in taken.values() for attribute in one.attributes]:
        assert split.attributes is not None, "the recipe takes its attributes from those of the data"
        return split.attributes[:n, [split.attribute_names.index(name) for name in names]]
    if any(one.classes for one in taken.values()):
        return np.asarray(split.labels)[:n].astype(np.int64)
    return None


def _first(split: Split, n: int) -> Split:
    """The split; of one that is larger than the cache, the files of its first n examples."""
    if not isinstance(split, RemoteSplit):
        return split
    files = int(np.searchsorted(np.cumsum(split.counts), n)) + 1
    return split.open(range(min(files, len(split.counts))))


def _spread(among: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """n of these indices, evenly spread over them."""
    return among[np.arange(n) * len(among) // max(n, 1)]
