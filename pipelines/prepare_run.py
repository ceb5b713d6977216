"""`gan dataset prepare`: the prepare stage alone, shown as it goes; `gan run` finds what it made."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gan_core.errors import ConfigError, StoreError
from gan_core.manifest import MANIFEST, Manifest, read_manifest
from gan_core.store import Store
from pipelines.cluster import ray_for_a_while
from pipelines.counting import counting
from pipelines.models import now
from pipelines.on_ray_data import on_ray_data
from pipelines.plan import Action, Step
from pipelines.profile import RAY_JOBS
from pipelines.records import StageResult, new_record, record_path, write_record
from pipelines.run import Opened
from pipelines.show import console
from pipelines.stages.prepare import prepare


@dataclass(frozen=True)
class Prepared:
    """A prepared data set: where it is, what its manifest says, and what was done now."""

    uri: str
    status: str
    seconds: float
    manifest: Manifest

    def as_json(self) -> dict[str, Any]:
        """{"uri", "status", "seconds", "splits": {split: examples}, "shape", "classes", "quarantined", "digest"}."""
        facts = self.manifest.facts
        return {
            "uri": self.uri,
            "status": self.status,
            "seconds": self.seconds,
            "splits": {split: found["examples"] for split, found in facts["splits"].items()},
            "kind": facts["kind"],
            "shape": facts["shape"],
            "classes": facts["classes"],
            "quarantined": facts["quarantined"],
            "digest": self.manifest.digest,
        }


def prepare_dataset(opened: Opened, workers: int | None = None) -> Prepared:
    """Prepares an experiment's data, or what is missing of it.

    workers: parts prepared at one time; as many as there are CPUs when None.  DataError names what does not fit.
    """
    store, started = opened.store, time.monotonic()
    several = opened.profile.backend == RAY_JOBS or (workers is not None and workers > 1)
    if several and store.url.startswith("memory://"):
        raise ConfigError(f"--store {store.url}: lives in one process, and workers are several; --store ./store works")
    store.check_writable()
    store.sweep()
    step = opened.planner.step("prepare", {})
    if step.action is not Action.REUSE:
        (_by_a_job if opened.profile.backend == RAY_JOBS else _here)(opened, step, workers)
    manifest = read_manifest(store, step.prefix)
    if manifest is None:
        raise StoreError(f"{store.uri(step.prefix)}/{MANIFEST} is not there after preparation; was it removed "
                         "meanwhile?")
    status = "REUSED" if step.action is Action.REUSE else "RUN"
    return Prepared(store.uri(step.prefix), status, round(time.monotonic() - started, 2), manifest)


def _here(opened: Opened, step: Step, workers: int | None) -> None:
    place = on_ray_data(opened.experiment, opened.profile, workers)
    with ray_for_a_while(), counting("preparing", "items") as progress:
        prepare(opened.store, opened.experiment, key=step.key, prefix=step.prefix, place=place, progress=progress)


def _by_a_job(opened: Opened, step: Step, workers: int | None) -> None:
    """The job that `gan run` would submit; one that is at work is followed, whoever began it."""
    from pipelines.on_ray_jobs import OnRayJobs  # imports Ray
    from pipelines.stage_order import Order

    OnRayJobs(opened.profile).carry_out(opened.store, Order(
        stage=step.stage, profile=opened.profile.in_a_job(), experiment=opened.experiment.as_json(), record=step.record,
        workers=workers, counts=True,
    ))


def record_prepared(opened: Opened, status: str, seconds: float) -> None:
    """Writes down that an experiment's data was prepared, as `gan run` does of all its stages."""
    store, started = opened.store, datetime.now(UTC) - timedelta(seconds=seconds)
    step = opened.planner.step("prepare", {})
    result = StageResult(name="prepare", status=status, seconds=seconds, uri=store.uri(step.prefix))
    record = new_record(
        opened.experiment.as_json(),
        started,
        by="gan dataset prepare",
        store=store.url,
        stages={"prepare": step.record},
        results=(result,),
        outcome="done",
        ended=now(),
    )
    write_record(store, record_path(opened.experiment.name, started), record)


def say_prepared(store: Store, prepared: Prepared) -> None:
    """What was prepared, for a person."""
    out, facts = console(), prepared.as_json()
    counts = ", ".join(f"{split} {count:,}" for split, count in facts["splits"].items())
    classes = f", {facts['classes']} classes" if facts["classes"] else ""
    out.print(f"{prepared.status}  {facts['kind']} {facts['shape']}{classes}: {counts}  ({prepared.seconds:.1f} s)")
    if facts["quarantined"]:
        out.print(f"left out  {facts['quarantined']:,} items: {prepared.uri}/quarantine.jsonl")
    out.print(f"shards  {prepared.uri}")
