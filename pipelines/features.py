"""The feature network of a data set: an artefact of its own, made by the first stage that needs it.

    features/<key>/    domain.safetensors, domain.json

Evaluate measures with it; training is watched with it, and made from it where it decides by `fd_domain`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from gan_core.data.shards import RemoteSplit, open_shards
from gan_core.data.shards import Shards as Data
from gan_core.errors import StoreError
from gan_core.manifest import MANIFEST, Manifest, artefact, missing_files, read_manifest, read_named
from gan_core.metrics.domain import FACTS_FILE, WEIGHTS_FILE, DomainNetwork, train_domain
from gan_core.metrics.evidence import Images
from gan_core.metrics.in_search import figures_against
from gan_core.metrics.in_training import fd_domain_against
from gan_core.store import Store
from pipelines.handles import Features, Shards
from pipelines.keys import features_prefix

NEIGHBOURS, SUBSETS_SEED = 5, 0  # of a search's figures: the same in every look of every trial


def features_of(store: Store, shards: Shards, key: str, seed: int, data: Data | None = None) -> Features:
    """The feature network of these shards: from the store, or trained on their train split and kept there.

    key, seed: its own.  data: the shards, where they are open already.  DamagedFile names a shard that is not what its
    manifest says.
    """
    made = _whole(store, features_prefix(key))
    return made or _make(store, shards, key, seed, data or open_shards(store, shards.prefix))


def features_at_hand(store: Store, shards: Shards, key: str, seed: int) -> Features | None:
    """The same for a run that is only watched with it: None where it would have to be trained on a set that is larger
    than the cache, and fetched file after file.
    """
    if made := _whole(store, features_prefix(key)):
        return made
    data = open_shards(store, shards.prefix)
    if isinstance(data.split("train"), RemoteSplit):
        return None
    return _make(store, shards, key, seed, data)


def read_features(store: Store, prefix: str) -> DomainNetwork:
    """The network itself.  DamagedFile when a file is not what its manifest says, StoreError when it is gone."""
    manifest = _manifest(store, prefix)
    return DomainNetwork.load(
        read_named(store, prefix, manifest, WEIGHTS_FILE), read_named(store, prefix, manifest, FACTS_FILE)
    )


def fd_domain_in(store: Store, prefix: str, real: Images) -> Callable[[Images], Mapping[str, float]]:
    """`fd_domain_against` with the network there, which is read when this is called.  Errors as of both."""
    return fd_domain_against(read_features(store, prefix), real)


def figures_in(
    store: Store, prefix: str, names: Collection[str], real: Images
) -> Callable[[Images], Mapping[str, float]]:
    """`figures_against` with the network there, which is read when this is called.  Errors as of both."""
    return figures_against(read_features(store, prefix), names, NEIGHBOURS, SUBSETS_SEED, real)


def _make(store: Store, shards: Shards, key: str, seed: int, data: Data) -> Features:
    prefix = features_prefix(key)
    made = train_domain(data.split("train"), data.form, data.classes, seed, data.splits.get("validation"))
    with artefact(store, prefix, kind=Features.KIND, key=key, parents=(shards.parent(),)) as draft:
        made.save(draft.path)
    return Features(store.uri(prefix), prefix, _manifest(store, prefix).digest)


def _whole(store: Store, prefix: str) -> Features | None:
    manifest = read_manifest(store, prefix)
    if manifest is None or missing_files(store, prefix, manifest):
        return None
    return Features(store.uri(prefix), prefix, manifest.digest)


def _manifest(store: Store, prefix: str) -> Manifest:
    manifest = read_manifest(store, prefix)
    if manifest is None:
        raise StoreError(f"{store.uri(prefix)}/{MANIFEST} is not there any more; run the same command again, and it "
                         "is made anew")
    return manifest
