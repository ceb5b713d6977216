"""Several published generators as one: each image from one of them, or all from the average of their weights.

    pair = Mixture.of([load_generator(one), load_generator(other)], weights=[0.7, 0.3])
    images = pair.sample(64, seed=7, label=3)  # about 45 of the first one's and 19 of the other's
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gan_core.asked import Attributes, Labels, drawn_parts, part_of, rows
from gan_core.bundle import Generator
from gan_core.errors import ConfigError
from gan_core.models.mixture import FAMILY
from gan_core.models.spec import GeneratorSpec, InputSpec


@dataclass(frozen=True)
class Mixture:
    """Generators of images of one shape that are asked for alike.  shares: of each in the images; they add up to 1."""

    generators: tuple[Generator, ...]
    shares: tuple[float, ...]

    @staticmethod
    def of(generators: Sequence[Generator], weights: Sequence[float] | None = None) -> Mixture:
        """weights: how much of each, in any measure; as much of all when None.

        ConfigError when the images' shapes or what can be asked for differ, or weights do not fit.
        """
        shares = _shares(generators, weights)
        first = generators[0]
        if mixed := next((one.uri for one in generators if len(generators) > 1 and part_of(one.spec)), None):
            raise ConfigError(f"{mixed}: is a mixture already; name the versions that it was made from")
        for other in generators[1:]:
            if other.spec.output != first.spec.output:
                raise ConfigError(f"{first.uri} makes {first.spec.modality.noun} of "
                                  f"{list(first.spec.output)} and {other.uri} of {list(other.spec.output)}; "
                                  "generators of one shape can be mixed")
            if other.spec.form != first.spec.form:
                raise ConfigError(f"{first.uri} and {other.uri} make other kinds, or have other symbols or rates; "
                                  "generators trained on one data set can be mixed")
            if _asked_for(other) != _asked_for(first):
                raise ConfigError(f"{first.uri} and {other.uri} are asked for differently: other classes, attributes "
                                  "or ranges; generators trained by the same ones can be mixed")
        return Mixture(tuple(generators), shares)

    @property
    def uri(self) -> str:
        """What it is made of."""
        return " and ".join(generator.uri for generator in self.generators)

    def which(self, n: int, seed: int = 0) -> NDArray[np.int64]:
        """The place of the generator that makes each image, [n]: a function of the seed and the image's number."""
        return drawn_parts(self.shares, n, seed)

    def sample(
        self, n: int, *, seed: int = 0, label: Labels | None = None, attributes: Attributes | None = None,
        images: NDArray[np.uint8] | None = None, truncation: float | None = None,
    ) -> NDArray[Any]:
        """n images, uint8 [n, C, H, W], as `Generator.sample` describes.

        Image i is image i of the generator that `which` says, sampled alone with the same arguments.
        """
        asked = rows(self.generators[0].spec, self.uri, n, seed, label, attributes, images)
        which = self.which(n, seed)
        spec = self.generators[0].spec
        made = np.empty((n, *spec.output), spec.modality.dtype)
        for place, generator in enumerate(self.generators):
            made[which == place] = generator.made(asked, seed, which == place, truncation)
        return made


def averaged(generators: Sequence[Generator], weights: Sequence[float] | None = None) -> Generator:
    """One generator with the average of the weights of several, statistics of norms included; counters are the first's.

    Of use for versions that were trained from one another: networks that found their own way average to noise.
    ConfigError when they are not built alike, hold no weights, or the shares do not fit.
    """
    shares = _shares(generators, weights)
    first = generators[0]
    for other in generators[1:]:
        if other.spec.network != first.spec.network:
            raise ConfigError(f"{first.uri} and {other.uri} are built differently ({_built(first)}; {_built(other)}), "
                              "and their weights have no average; their images can be mixed, without --average")
    if not first.network.state_dict():
        raise ConfigError(f"{first.uri}: runs as ONNX, which holds no weights to average; install the package that "
                          f"registers {first.spec.family}, or mix images, without --average")
    network, share = copy.deepcopy(first.network), shares[0]
    mean = network.state_dict()
    with torch.no_grad():
        for other, more in zip(generators[1:], shares[1:], strict=True):
            share += more
            for name, value in other.network.state_dict().items():
                if value.is_floating_point() and share:
                    mean[name].lerp_(value, more / share)  # of equal values exactly that value
    return replace(first, uri=f"the average of {' and '.join(g.uri for g in generators)}", network=network)


def united(generators: Sequence[Generator], weights: Sequence[float] | None = None) -> GeneratorSpec:
    """What a bundle says of the mixture of several generators, whose network holds theirs as `parts.0`, `parts.1`, ….

    Its samples are those of `Mixture.of`.  ConfigError as there, and for generators of other noise: one bundle draws
    one noise.
    """
    mixture = Mixture.of(generators, weights)
    first = generators[0]
    for other in generators[1:]:
        if other.spec.inputs != first.spec.inputs:
            raise ConfigError(f"{first.uri} and {other.uri} draw other noise, and one bundle draws one; `gan sample` "
                              "mixes them without a bundle")
    parts = [{"family": one.spec.family, "options": one.spec.options} for one in generators]
    choice = InputSpec(shape=(), distribution="part", shares=mixture.shares)
    return first.spec.model_copy(update={"family": FAMILY, "options": {"parts": parts}, "onnx": None,
                                         "inputs": {**first.spec.inputs, "part": choice}})


def _shares(generators: Sequence[Generator], weights: Sequence[float] | None) -> tuple[float, ...]:
    if not generators:
        raise ConfigError("no generator was named; one or more work")
    given = [1.0] * len(generators) if weights is None else [float(weight) for weight in weights]
    fit = len(given) == len(generators) and all(math.isfinite(weight) and weight >= 0 for weight in given)
    if not fit or sum(given) <= 0:
        shown, example = ",".join(f"{weight:g}" for weight in given), ",".join(["1"] * len(generators))
        raise ConfigError(f"weights={shown}: not one number of 0 or more for each of {len(generators)} generators; "
                          f"weights={example} works")
    return tuple(weight / sum(given) for weight in given)


def _asked_for(generator: Generator) -> dict[str, object]:
    return {name: given for name, given in generator.spec.inputs.items() if given.distribution != "normal"}


def _built(generator: Generator) -> str:
    options = ", ".join(f"{name}={value}" for name, value in generator.spec.options.items())
    return f"{generator.spec.family} with {options}"
