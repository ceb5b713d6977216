"""How feature networks see images, block by block, wherever a `Place` has the blocks looked at.

    features/<key>/features.safetensors    how one network sees the first images of a split: computed once, and kept

A `Sight` is all that another process needs to do the same: plain values, from which it opens generator and networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as arrays_from
from safetensors.numpy import save as bytes_of

from gan_core.asked import Rows
from gan_core.bundle import Generator, read_generator
from gan_core.config import Config, EvaluateConfig, key_fields
from gan_core.data.shards import Shards as Data
from gan_core.errors import DamagedFile
from gan_core.manifest import artefact, missing_files, read_manifest, read_named
from gan_core.metrics.domain import one_thread
from gan_core.metrics.evidence import Images, See
from gan_core.metrics.look import BLOCK, Block, Looked, blocks_of, joined, look
from gan_core.metrics.seen import features_by, pixels
from gan_core.modalities.kinds import modality_of
from gan_core.modalities.modality import Modality
from gan_core.options.feature_networks import NAMED
from gan_core.store import Store
from pipelines.features import read_features
from pipelines.handles import Features, Shards
from pipelines.keys import SEEN, features_prefix, seen_key

FEATURES_FILE = "features.safetensors"
PIXELS = "pixels"  # are the images themselves, and kept as shards


class Sight(Config):
    """What looks at a block.  features: prefix of the data set's own network.  generator: of the run, '' where there
    are images.  digests: of these artefacts, so that one which was made again is opened again.
    """

    store: str
    features: str
    evaluate: EvaluateConfig
    networks: tuple[str, ...] = ()
    generator: str = ""
    digests: tuple[str, ...] = ()

    def look(self, block: Block) -> Looked:
        """In this process, which opens generator and networks once.

        On one thread: sums do not depend on how many cores whoever looks has.
        """
        with one_thread():
            return look(block, *_opened(self.model_dump_json()))


Place = Callable[[Sight, Iterable[Block], int], Iterator[Looked]]
"""Has blocks, of so many images in all, looked at, and yields what came of them in their order."""


def in_turn(sight: Sight, blocks: Iterable[Block], images: int) -> Iterator[Looked]:
    """One block after another in this process."""
    return map(sight.look, blocks)


@lru_cache(maxsize=2)
def _opened(sight: str) -> tuple[Callable[[Rows], Images] | None, Mapping[str, Callable[[Images], NDArray[Any]]]]:
    told = Sight.model_validate_json(sight)
    store = Store(told.store)
    domain = read_features(store, told.features)
    networks = {name: features_by(name, told.evaluate, domain) for name in told.networks}
    return read_generator(store, told.generator).images_of if told.generator else None, networks


def networks_of(config: EvaluateConfig) -> tuple[str, ...]:
    """The networks that must look at images: those that are measured by, and the data set's own for the report."""
    return tuple(dict.fromkeys(name for name in (*config.networks, "domain") if name != PIXELS))


@dataclass(frozen=True, eq=False)
class Generated:
    """Generated images, and how networks see them."""

    images: Images
    features: Mapping[str, NDArray[Any]]
    modality: Modality

    def see(self, network: str) -> NDArray[Any]:
        """[n, d] of one of the networks that looked, or the pixels."""
        return pixels(self.modality, self.images) if network == PIXELS else self.features[network]


@dataclass(frozen=True, eq=False)
class Looking:
    """All that is looked at in one evaluation.  domain: the artefact of the data set's own network."""

    store: Store
    shards: Shards
    data: Data
    config: EvaluateConfig
    domain: Features
    place: Place

    def made(
        self, generator: Generator, run: str, asked: Mapping[str, Any], n: int, networks: tuple[str, ...] = ()
    ) -> Generated:
        """n images of the run's generator with what these networks see.  asked: as `Generator.sample` takes it."""
        blocks = generator.inputs(n, BLOCK, seed=self.config.seed, **asked)
        looked = joined(self.place(self._sight(networks, run), blocks, n), n)
        assert looked.images is not None, "these blocks are inputs"
        return Generated(looked.images, looked.features, generator.spec.modality)

    def real(self, split: str, n: int) -> See:
        """How networks see the first n images of a split: from the store, or looked at now and kept there."""

        def see(network: str) -> NDArray[Any]:
            if network == PIXELS:
                return pixels(modality_of(self.data.form), self.data.split(split).gather(np.arange(n)))
            return self._kept(network, split, n)

        return cache(see)

    def _sight(self, networks: tuple[str, ...], generator: str = "") -> Sight:
        run = read_manifest(self.store, generator) if generator else None
        return Sight(store=self.store.url, features=self.domain.prefix, evaluate=self.config, networks=networks,
                     generator=generator, digests=(self.domain.digest, run.digest if run else ""))

    def _kept(self, network: str, split: str, n: int) -> NDArray[Any]:
        key = seen_key(read_manifest(self.store, self.shards.prefix), split, n, self._identity(network))
        prefix = features_prefix(key)
        with suppress(DamagedFile, KeyError):  # what is damaged is made again: it is all computed
            if (found := self._read(prefix)) is not None:
                return found
        blocks = blocks_of(self.data.split(split), n)
        seen = joined(self.place(self._sight((network,)), blocks, n), n).features[network]
        with artefact(self.store, prefix, kind=SEEN, key=key, parents=(self.shards.parent(),)) as draft:
            (draft.path / FEATURES_FILE).write_bytes(bytes_of({SEEN: seen}))
            draft.facts.update(network=network, split=split, images=n)
        return seen

    def _read(self, prefix: str) -> NDArray[Any] | None:
        manifest = read_manifest(self.store, prefix)
        if manifest is None or missing_files(self.store, prefix, manifest):
            return None
        return arrays_from(read_named(self.store, prefix, manifest, FEATURES_FILE))[SEEN]

    def _identity(self, network: str) -> dict[str, Any]:
        """All that decides what a network sees."""
        file = {**NAMED, **self.config.network_files}.get(network)
        if file is not None:
            return {"name": network, **key_fields(file)}
        if network == "domain":
            return {"name": network, "digest": self.domain.digest}
        form = self.data.form
        return {"name": network, "seed": self.config.seed, "shape": list(form.shape),
                **({} if modality_of(form).is_picture else {"form": form.model_dump(mode="json")})}
