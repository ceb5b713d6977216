"""Preparation on Ray Data: parts of a data set stream through workers that read, transform and write them.

Nothing large passes through Ray: a row is which part to write, and then what became of it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from gan_core.config import Experiment, experiment_from
from gan_core.data.items import Index, ItemSource, indexed, remember_index
from gan_core.data.layout import Layout
from gan_core.data.parts import Part, Written
from gan_core.data.source import source_of
from gan_core.data.write import PartWriter, PlaceWork, one_after_another
from gan_core.errors import GanError, WorkersFailed
from gan_core.store import Store
from pipelines.cluster import connect
from pipelines.profile import Profile
from pipelines.silence import Silent, heard_in_time
from pipelines.worker_errors import as_text, from_text

if TYPE_CHECKING:
    from ray import ObjectRef

INDEX_S = 600.0  # that a worker has to get the index, of some hundred MB at most, from the process that asks
HERE = 4  # parts up to which starting workers costs more than they save


def on_ray_data(experiment: Experiment, profile: Profile, workers: int | None = None) -> PlaceWork:
    """Where the parts of this experiment's data are written: by Ray Data's workers, a few parts in this process.

    workers: parts written at one time, 1 in this process; as many as the cluster has CPUs when None.
    """

    def place(writer: PartWriter, parts: Sequence[Part]) -> Iterator[Written]:
        if workers == 1 or (len(parts) <= HERE and workers is None):
            return one_after_another(writer, parts)
        return _stream(experiment, profile, workers, writer, parts)

    return place


def _stream(
    experiment: Experiment, profile: Profile, workers: int | None, writer: PartWriter, parts: Sequence[Part]
) -> Iterator[Written]:
    connect(profile, workers or 1)
    import ray.data
    from ray.exceptions import RayError

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False  # the caller shows progress in items
    job = {
        "experiment": experiment.model_dump_json(serialize_as_any=True),
        "store": writer.store.url,
        "prefix": writer.prefix,
        "layout": writer.layout.model_dump_json(),
        "classes": writer.classes,
        "normal": json.dumps(None if writer.normal is None else sorted(writer.normal)),
    }
    rows = [{"part": part.model_dump_json(), **job} for part in parts]
    index = ray.put(indexed(writer.source)) if isinstance(writer.source, ItemSource) else None
    written = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        partial(_write, index=index), num_cpus=1, compute=ray.data.TaskPoolStrategy(size=workers)
    )
    try:
        for row in heard_in_time(written.iter_rows(), profile.ray.silent_s):
            if row["error"]:
                raise from_text(row["error"])
            yield Written.model_validate_json(row["written"])
    except Silent:
        raise WorkersFailed(f"no part of the data was prepared for {profile.ray.silent_s:g} s; see whether the cluster "
                            "has free CPUs, by `ray status` on the head; the same command goes on with the parts that "
                            "are missing") from None
    except RayError as error:
        raise WorkersFailed(f"a worker that prepares the data failed: {_last_line(error)}; the same command goes on "
                            "with the parts that are missing") from error


def _last_line(error: Exception) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


def _write(row: dict[str, Any], index: ObjectRef[Index] | None) -> dict[str, str]:
    """On a worker: writes one part.  What a person can put right comes back as text, for Ray would wrap it.

    index: of the source's items, made once by the process that asks.
    """
    import ray

    job = {name: row[name] for name in row if name != "part"}
    try:
        writer = _writer(**job)
        if index is not None and isinstance(writer.source, ItemSource):
            remember_index(writer.source, ray.get(index, timeout=INDEX_S))
        written = writer.write(Part.model_validate_json(row["part"]))
    except GanError as error:
        return {"written": "", "error": as_text(error)}
    return {"written": written.model_dump_json(), "error": ""}


@lru_cache(maxsize=2)
def _writer(experiment: str, store: str, prefix: str, layout: str, classes: int, normal: str) -> PartWriter:
    """Once a worker process."""
    settings, kept = experiment_from(json.loads(experiment)), json.loads(normal)
    return PartWriter(source_of(settings), settings.prepare.transforms, Layout.model_validate_json(layout), classes,
                      Store(store), prefix, None if kept is None else frozenset(kept))
