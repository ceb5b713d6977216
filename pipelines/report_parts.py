"""The parts of a report, made of a generator, its data, and the images that were compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gan_core.bundle import Generator
from gan_core.config import Experiment
from gan_core.data.shards import RemoteSplit, Shards
from gan_core.errors import ConfigError, DataError
from gan_core.explore.between import interpolation, truncation
from gan_core.explore.picture import Extent
from gan_core.explore.space import Space, refuse_unexplored
from gan_core.modalities.kinds import modality_of
from pipelines.parts import Near, OfClass, Parts, Played, Sheet
from pipelines.report_classes import classes_of
from pipelines.report_data import data_set
from pipelines.report_maps import mapped
from pipelines.report_media import media_of
from pipelines.report_nearest import near_training
from pipelines.usage import usage_of

EXTENT = Extent(rows=4, columns=5)  # five columns can be read on a phone

Labels = NDArray[np.int64]
Features = NDArray[Any]
Made = TypeVar("Made")


@dataclass(frozen=True, eq=False)
class Compared:
    """The generated images that were compared with real ones, and what is known of both.

    images: generated, as they are stored.  requested, read: [m], the class that each was asked for and the one that a
    classifier sees in it.  labels: [n], of the real examples.  None where there are none.  real, fake, train: features
    by the `domain` network, [n, d], [m, d] and, of the whole train split, [N, d]; None where that was not gone through.
    """

    images: NDArray[Any]
    real: Features
    fake: Features
    train: Features | None = None
    labels: Labels | None = None
    requested: Labels | None = None
    read: Labels | None = None


def parts_of(generator: Generator, data: Shards, experiment: Experiment, compared: Compared, digest: str) -> Parts:
    """Every part that this generator and this data set have; of the others, why not.  digest: of the shards."""
    left_out: dict[str, str] = {}

    def tried(name: str, make: Callable[[], Made], otherwise: Made) -> Made:
        try:
            return make()
        except (ConfigError, DataError) as why:
            left_out[name] = str(why).removeprefix(f"{generator.uri}: ")
            return otherwise

    seed, k = experiment.evaluate.seed, experiment.evaluate.k
    return Parts(
        classes=tried("classes", lambda: _classes(generator, data, compared, k), ()),
        near=tried("near", lambda: _near(data, compared), None),
        explored=tried("explored", lambda: _explored(generator, seed), ()),
        maps=tried("maps", lambda: mapped(compared.real, compared.fake, seed), None),
        data=data_set(data.facts, experiment.as_json()["data"], digest),
        media=tried("media", lambda: _media(generator, data, compared), ()),
        usage=usage_of(generator.spec.model_dump(mode="json")),
        left_out=left_out,
    )


def _classes(generator: Generator, data: Shards, compared: Compared, k: int) -> tuple[OfClass, ...]:
    if generator.translates:
        raise DataError("the images asked for are translations of others, whatever their class")
    if not generator.classes:
        raise DataError("the generator is not asked for classes")
    if compared.labels is None or compared.requested is None:
        raise DataError("the data set has no labels")
    return classes_of(compared.real, compared.labels, compared.fake, compared.requested, compared.read,
                      data.facts.get("class_names", ()), k)


def _near(data: Shards, compared: Compared) -> Near | None:
    train = data.split("train")
    if isinstance(train, RemoteSplit):
        raise DataError("the training set is larger than the cache, and not gone through for this")
    if compared.train is None:
        raise DataError("there are no features of the training set")
    return near_training(compared.images, compared.fake, compared.real, compared.train, train, modality_of(data.form))


def _media(generator: Generator, data: Shards, compared: Compared) -> tuple[Played, ...]:
    return media_of(generator.spec.modality, compared.images, compared.requested, data.facts.get("class_names", ()))


def _explored(generator: Generator, seed: int) -> tuple[Sheet, ...]:
    """Truncation and interpolation.  ConfigError for a generator that has no latent vectors."""
    refuse_unexplored(generator)
    space = Space(generator, seed)
    rows = {"truncation": ("Truncation", "fewer extremes from row to row: what stays is what the generator finds usual",
                           "The same latent vectors, truncated lower from row to row"),
            "interpolation": ("Interpolation", "from one latent vector to another: steps where there should be none "
                              "are examples known by heart", "Rows of images from one latent vector to another")}
    made = (truncation(space, EXTENT), interpolation(space, EXTENT))
    return tuple(Sheet(*rows[each.name], each.files[f"{each.name}.png"]) for each in made)
