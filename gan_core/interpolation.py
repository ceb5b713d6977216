"""From image to image of one generator along arcs of its noise, all else fixed.

    generator = load_generator("s3://bucket/models/digits@champion")
    images = interpolated(generator, 4, 16, seed=7, label=3)  # uint8 [64, C, H, W], a loop
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.asked import condition_of, part_of, rows
from gan_core.bundle import Generator
from gan_core.errors import ConfigError
from gan_core.latent import loop, truncated


@dataclass(frozen=True)
class Fixed:
    """What all images of an interpolation are asked for: a label, attributes by name, or nothing."""

    label: int | None = None
    attributes: dict[str, float] | None = None


def interpolated(
    generator: Generator, n: int, steps: int, *, seed: int = 0, label: int | None = None,
    attributes: Mapping[str, float] | None = None, truncation: float | None = None,
) -> NDArray[Any]:
    """Through the noise of the seed's first n images and back to the first: uint8 [n · steps, C, H, W].

    Image i · steps is made of the noise of image i of `Generator.sample`; the steps before the next one lie on the arc
    to it (`gan_core.latent.slerp`), in each of the generator's inputs of noise by itself.  All are asked for what
    `first_asked` says.  truncation: as of `sample`, of the arcs' points too, which are distributed as the draws are.

    ConfigError for a generator that draws no noise, fewer than two images, and what cannot be asked of it.
    """
    refuse_still(generator, n)
    noise = {name: loop(values, steps) for name, values in generator.noise(n, seed).items()}
    if truncation is not None:
        generator.noise(1, seed, truncation)  # refuses what is no bound
        noise = {name: truncated(values, truncation) for name, values in noise.items()}
    fixed = first_asked(generator, seed, label, attributes)
    asked = rows(generator.spec, generator.uri, n * steps, seed, fixed.label, fixed.attributes, None)
    if (part := part_of(generator.spec)) is not None:  # from one network to another there is no way
        asked[part[0]] = np.full_like(asked[part[0]], asked[part[0]][0])
    return generator.images_of(noise | asked)


def first_asked(
    generator: Generator, seed: int, label: int | None = None, attributes: Mapping[str, float] | None = None
) -> Fixed:
    """What the seed's first image is asked for, where only some of it is named.  ConfigError for what it cannot be."""
    condition = condition_of(generator.spec)
    asked = rows(generator.spec, generator.uri, 1, seed, label, attributes, None)
    if condition is None:
        return Fixed()
    name, given = condition
    if not given.attributes:
        return Fixed(label=int(asked[name][0]))
    values = asked[name][0].tolist()
    return Fixed(attributes={one.name: value for one, value in zip(given.attributes, values, strict=True)})


def refuse_still(generator: Generator, n: int) -> None:
    """ConfigError where there is nothing to go from or to."""
    if not any(given.distribution == "normal" for given in generator.spec.inputs.values()):
        does = "translates images" if generator.translates else "takes no noise"
        raise ConfigError(f"{generator.uri}: {does} and has nothing to interpolate; sample it without")
    if n < 2:
        raise ConfigError(f"n={n}: an interpolation goes from one image to another; n=2 and more work")
