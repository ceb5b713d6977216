"""Prepare: a source's examples become shards."""

from __future__ import annotations

from gan_core.config import Experiment
from gan_core.data.shards import write_shards
from gan_core.data.source import source_of
from gan_core.store import Store


def prepare(store: Store, experiment: Experiment, *, key: str, prefix: str) -> None:
    """Writes the shards of every split under `prefix`.  DataError names what does not fit."""
    write_shards(
        source_of(experiment), store, prefix, shard_examples=experiment.prepare.shard_examples, key=key
    )
