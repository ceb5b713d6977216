"""Prepare: a source's examples become shards."""

from __future__ import annotations

from gan_core.config import Experiment
from gan_core.data.write import PlaceWork, Progress, one_after_another, write_experiment
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
    write_experiment(experiment, store, prefix, key=key, place=place, progress=progress)
