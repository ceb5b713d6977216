"""What `gan score` is to look at: the split of a prepared set, or a folder of images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gan_core.bundle import Generator
from gan_core.data.normal import NORMAL, normal_labels
from gan_core.data.shards import IMAGE, Shards, Split, open_shards
from gan_core.errors import ConfigError
from gan_core.manifest import Manifest, Parent, read_manifest
from gan_core.store import Store, split_url
from pipelines.datasets import Prepared, at_prefix, find_prepared, whole
from pipelines.sample_arguments import images_in

YAML = (".yaml", ".yml")
HELD_OUT = "validation"


@dataclass(frozen=True, eq=False)
class Looked:
    """Images to be scored, and what is known of them.

    names: of files, where the images are files.  split: '' for those.  normal: normal labels, None where nothing says
    so.  held_out: normal validation images.  digest: of all the images.  parents: what else the scores are made from.
    """

    images: Split
    names: Sequence[str]
    split: str
    normal: frozenset[int] | None
    held_out: Split | None
    digest: str
    parents: tuple[Parent, ...] = ()

    @property
    def abnormal(self) -> NDArray[np.bool_] | None:
        """[n]; None where it is not known."""
        labels = self.images.labels
        return None if self.normal is None or labels is None else ~np.isin(np.asarray(labels), sorted(self.normal))


def looked_at(
    data: str, overrides: Sequence[str], split: str, normal: str | None, generator: Generator, store: Store
) -> Looked:
    """The data that an address names: an experiment's file, prepared shards, or a folder of images or one image.

    overrides: of the experiment.  normal: names of classes with commas between, in place of what the set says.
    ConfigError for what is none of these, or not of the generator's shape; DataError for a split or classes that are
    not there.
    """
    found = _shards_at(data, overrides, store)
    if found is not None:
        return _of_shards(data, found, split, normal, generator)
    if normal is not None:
        raise ConfigError(f"--normal {normal}: images in files have no classes; leave it out")
    shape = generator.spec.output
    if shape[0] not in (1, 3):
        raise ConfigError(f"--data {data}: files are read as images of 1 or 3 channels, and {generator.uri} makes "
                          f"{shape[0]}; a prepared set works")
    names, images = images_in(data, shape, "--data")
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape") + images.tobytes()).hexdigest()
    return Looked(Split((images,), None), names, "", None, None, digest)


def _shards_at(data: str, overrides: Sequence[str], store: Store) -> tuple[Store, str, Manifest] | None:
    """Of an experiment, of a folder of shards, or as `gan dataset show` takes it; None for what is there otherwise."""
    if data.lower().endswith(YAML):
        return _found(*_of_experiment(data, overrides, store))
    above, name = split_url(data)
    manifest = read_manifest(Store(above), name) if above and name else None
    if manifest is not None and manifest.kind == "shards":
        return Store(above), name, manifest
    if "://" in data or Path(data).exists():
        return None
    try:
        return _found(*find_prepared(store, data))
    except ConfigError as error:
        raise ConfigError(f"--data {data}: no file or folder is there, and no prepared set has that name: {error}"
                          ) from None


def _found(store: Store, prepared: Prepared) -> tuple[Store, str, Manifest]:
    return store, prepared.prefix, whole(store, prepared)


def _of_experiment(file: str, overrides: Sequence[str], store: Store) -> tuple[Store, Prepared]:
    from gan_core.config import load_experiment
    from pipelines.plan import Planner

    experiment = load_experiment(file, overrides)
    return store, at_prefix(store, Planner(store, experiment).step("prepare", {}).prefix, experiment.name)


def _of_shards(
    data: str, found: tuple[Store, str, Manifest], split: str, normal: str | None, generator: Generator
) -> Looked:
    store, prefix, manifest = found
    shards = open_shards(store, prefix)
    if shards.kind != IMAGE or tuple(shards.shape) != tuple(generator.spec.output):
        raise ConfigError(f"--data {data}: holds {shards.kind} {list(shards.shape)}, and {generator.uri} makes images "
                          f"{list(generator.spec.output)}; what it was trained on works")
    images = shards.split(split)
    known = _normal_in(shards, normal, data)
    return Looked(images, (), split, known, _held_out(shards, known), manifest.digest,
                  (Parent(kind="shards", uri=store.uri(prefix), digest=manifest.digest),))


def _normal_in(shards: Shards, normal: str | None, data: str) -> frozenset[int] | None:
    if normal is None:
        told = shards.facts.get(NORMAL)
        return None if told is None else frozenset(told)
    if not shards.classes:
        raise ConfigError(f"--normal {normal}: {data} has no labels; leave it out")
    try:
        return normal_labels([name.strip() for name in normal.split(",")], shards.facts.get("class_names", ()))
    except ConfigError as error:
        raise ConfigError(f"--normal {normal}: {str(error).partition(': ')[2]}") from None


def _held_out(shards: Shards, normal: frozenset[int] | None) -> Split | None:
    """The normal validation images; None where there are none."""
    split = shards.splits.get(HELD_OUT)
    if split is None or normal is None or split.labels is None:
        return None
    members = np.flatnonzero(np.isin(np.asarray(split.labels), sorted(normal)))
    return Split((split.gather(members),), np.asarray(split.labels)[members]) if len(members) else None


