"""Train: shards become a trained generator."""

from __future__ import annotations

from collections.abc import Callable

from gan_core.data.shards import open_shards
from gan_core.manifest import Parent
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from gan_core.train.loop import fit as fit  # what the workers run: its source is part of this stage's key
from pipelines.handles import Shards

Launch = Callable[[RunPlace, str, tuple[Parent, ...]], None]


def train(
    store: Store, shards: Shards, launch: Launch, *, key: str, prefix: str, also_from: tuple[Parent, ...] = ()
) -> None:
    """Has `launch` run gan_core.train.loop.fit on the workers until the run under `prefix` is finished.

    also_from: what else it is made from: the published version whose weights it begins with, the feature network by
    which it decides.
    Raises DamagedFile before any worker starts when a shard is not what its manifest says.
    """
    open_shards(store, shards.prefix)
    launch(RunPlace(store, prefix, key), shards.prefix, (shards.parent(), *also_from))
