"""A generator as a function of one latent vector and of what it is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan_core.asked import Attributes, Rows, part_of, rows
from gan_core.bundle import BATCH, Generator
from gan_core.errors import ConfigError
from gan_core.latent import Array
from gan_core.pictures import COLOURS

Tell = Callable[[int], None]


@dataclass(frozen=True)
class Space:
    """z holds all noise of an image, input after input, in one row: [n, size] for n images.

    seed: where z come from; image i of it is image i of `Generator.sample`.  label, attributes: what all images are
    asked for.  tell: is called with the number of images whenever some were made.
    """

    generator: Generator
    seed: int = 0
    label: int | None = None
    attributes: Attributes | None = None
    tell: Tell = lambda count: None

    @property
    def size(self) -> int:
        """How many numbers z has."""
        return sum(math.prod(shape) for shape in self._shapes().values())

    def draw(self, n: int) -> Array:
        """z of the seed's first n images."""
        noise = self.generator.noise(n, self.seed)
        return np.concatenate([values.reshape(n, -1) for values in noise.values()], axis=1)

    def asked(self, n: int) -> Rows:
        """What the seed's first n images are asked for, a row each: nothing, labels, or attributes."""
        return rows(self.generator.spec, self.generator.uri, n, self.seed, self.label, self.attributes, None)

    def inputs(self, z: Array, asked: Rows) -> Rows:
        """The network's inputs.  asked: of one image for all, or of each."""
        shapes = self._shapes()
        ends = np.cumsum([math.prod(shape) for shape in shapes.values()])[:-1]
        noise = {name: part.reshape(len(z), *shape)
                 for (name, shape), part in zip(shapes.items(), np.split(z, ends, axis=1), strict=True)}
        return noise | {name: np.broadcast_to(values, (len(z), *values.shape[1:])).copy()
                        for name, values in asked.items()}

    def images(self, z: Array, asked: Rows) -> NDArray[np.uint8]:
        """[n, C, H, W] uint8; of other kinds than images as they are looked at.  asked: as for `inputs`."""
        views, inputs, made = self.generator.spec.modality.views, self.inputs(z, asked), []
        for start in range(0, len(z), BATCH):
            some = {name: values[start : start + BATCH] for name, values in inputs.items()}
            made.append(views(self.generator.images_of(some)))
            self.tell(len(made[-1]))
        return np.concatenate(made)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: i.shape for name, i in self.generator.spec.inputs.items() if i.distribution == "normal"}


def refuse_unexplored(generator: Generator) -> None:
    """ConfigError for a generator that has no latent vectors, or several kinds of them, or whose images no picture can
    hold.
    """
    uri, modality = generator.uri, generator.spec.modality
    channels = modality.views(np.zeros((1, *generator.spec.output), modality.dtype)).shape[1]
    if generator.translates:
        raise ConfigError(f"{uri}: translates images and has no latent vectors to explore; "
                          "`gan sample NAME --images FOLDER --out FILE.png` shows what it does")
    if not any(given.distribution == "normal" for given in generator.spec.inputs.values()):
        raise ConfigError(f"{uri}: takes no noise, so that there is nothing to explore; `gan sample` shows its images")
    if part_of(generator.spec) is not None:
        raise ConfigError(f"{uri}: is a mixture, whose networks read the same noise each in its own way; explore the "
                          "versions that it was made from")
    if channels not in COLOURS:
        raise ConfigError(f"{uri}: makes images of {channels} channels, pictures have 1 or 3; explore it in Python "
                          "with gan_core.latent and gan_core.bundle.load_generator")


def repeated(asked: Rows, times: int) -> Rows:
    """Each row so many times in a row."""
    return {name: np.repeat(values, times, axis=0) for name, values in asked.items()}


def tiled(asked: Rows, times: int) -> Rows:
    """All rows so many times one after another."""
    return {name: np.concatenate([values] * times) for name, values in asked.items()}
