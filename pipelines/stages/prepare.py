"""Prepare: a source's examples become shards."""

from __future__ import annotations

from gan_core.config import Experiment
from gan_core.data.source import source_of
from gan_core.data.write import PlaceWork, Progress, one_after_another, write_shards
from gan_core.store import Store


def prepare(
    store: Store,
    experiment: Experiment,
    *,
    key: str,
    prefix: str,
    place: PlaceWork = one_after_another,
    progress: Progress | None = None,
) -> None:
    """Writes the shards of every split under `prefix`, or what is missing of them.

    place: where parts are written.  DataError names the items that do not fit.
    """
    write_shards(
        source_of(experiment),
        store,
        prefix,
        shard_examples=experiment.prepare.shard_examples,
        key=key,
        transforms=experiment.prepare.transforms,
        max_bad_fraction=experiment.prepare.max_bad_fraction,
        place=place,
        progress=progress,
    )
