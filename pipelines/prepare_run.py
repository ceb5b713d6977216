"""`gan dataset prepare`: the prepare stage alone, shown as it goes; `gan run` finds what it made."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from gan_core.errors import ConfigError
from gan_core.manifest import Manifest, read_manifest
from gan_core.store import Store
from pipelines.cluster import ray_for_a_while
from pipelines.counting import counting
from pipelines.on_ray_data import on_ray_data
from pipelines.plan import Action
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
    if workers is not None and workers > 1 and store.url.startswith("memory://"):
        raise ConfigError(f"--store {store.url}: lives in one process, and workers are several; --store ./store works")
    store.check_writable()
    store.sweep()
    step = opened.planner.step("prepare", {})
    if step.action is not Action.REUSE:
        place = on_ray_data(opened.experiment, opened.profile, workers)
        with ray_for_a_while(), counting("preparing", "items") as progress:
            prepare(store, opened.experiment, key=step.key, prefix=step.prefix, place=place, progress=progress)
    manifest = read_manifest(store, step.prefix)
    assert manifest is not None, "the stage ended well, so its manifest is there"
    status = "REUSED" if step.action is Action.REUSE else "RUN"
    return Prepared(store.uri(step.prefix), status, round(time.monotonic() - started, 2), manifest)


def say_prepared(store: Store, prepared: Prepared) -> None:
    """What was prepared, for a person."""
    out, facts = console(), prepared.as_json()
    counts = ", ".join(f"{split} {count:,}" for split, count in facts["splits"].items())
    classes = f", {facts['classes']} classes" if facts["classes"] else ""
    out.print(f"{prepared.status}  {facts['kind']} {facts['shape']}{classes}: {counts}  ({prepared.seconds:.1f} s)")
    if facts["quarantined"]:
        out.print(f"left out  {facts['quarantined']:,} items: {prepared.uri}/quarantine.jsonl")
    out.print(f"shards  {prepared.uri}")
