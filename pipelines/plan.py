"""What a run would do, stage by stage, and why; read from the store alone.

RUN      its result is not there
REUSE    its result is there, whole
RESUME   a training run that was interrupted goes on from its newest checkpoint
DEPENDS  an upstream stage runs first; what it makes decides
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from gan_core.addresses import resolve
from gan_core.config import Experiment
from gan_core.data.fingerprints import remembered
from gan_core.data.source import source_of
from gan_core.errors import ConfigError, DamagedFile
from gan_core.manifest import MANIFEST, VERSION, Manifest, Parent, missing_files, read_manifest
from gan_core.published import version_prefix
from gan_core.store import Store
from pipelines.keys import (
    FEATURES,
    FOLDERS,
    INIT_FROM,
    PREFIX_CHARS,
    STAGES,
    code,
    features_key,
    features_prefix,
    inputs_of,
    settings,
    stage_key,
)
from pipelines.records import StageRecord, latest_stages
from pipelines.stages.publish import is_published


class Action(StrEnum):
    RUN = "RUN"
    REUSE = "REUSE"
    RESUME = "RESUME"
    DEPENDS = "DEPENDS"


@dataclass(frozen=True)
class Step:
    """One stage of a plan.  key, prefix and digest are empty where they are not known yet.

    begins_from: the version whose weights training begins with.
    """

    stage: str
    action: Action
    reason: str
    record: StageRecord
    prefix: str = ""
    digest: str = ""
    begins_from: Parent | None = None

    @property
    def key(self) -> str:
        return self.record.key


@dataclass
class Planner:
    """Plans one experiment on one store; `remake` names stages whose results are made again in any case."""

    store: Store
    experiment: Experiment
    remake: frozenset[str] = frozenset()
    before: Mapping[str, StageRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.before = latest_stages(self.store, self.experiment.name)

    def plan(self) -> list[Step]:
        """Every stage in order."""
        steps: list[Step] = []
        known: dict[str, str] = {}
        for stage in STAGES:
            step = self.step(stage, known)
            steps.append(step)
            if step.action is Action.REUSE:
                known[stage] = step.digest
                if stage == "prepare" and FEATURES in inputs_of(self.experiment, "train"):
                    known |= self._features(step.prefix)
        return steps

    def _features(self, shards: str) -> dict[str, str]:
        """The digest of the feature network of the shards there, by its name as an input; {} when there is none yet."""
        key = features_key(read_manifest(self.store, shards), self.experiment.evaluate.seed, self.experiment.target)
        try:
            manifest = read_manifest(self.store, features_prefix(key))
        except DamagedFile:
            return {}
        if manifest is None or missing_files(self.store, features_prefix(key), manifest):
            return {}
        return {FEATURES: manifest.digest}

    def step(self, stage: str, known: Mapping[str, str]) -> Step:
        """One stage, given the digests of the finished stages upstream of it."""
        record = self._record(stage, known)
        waits = [upstream for upstream in inputs_of(self.experiment, stage) if upstream not in known]
        if waits:
            changed = _changes(self.before.get(stage), record, inputs=False)
            return Step(stage, Action.DEPENDS, "; ".join([f"waits for {' and '.join(waits)}", *changed]), record)
        if stage == "train":
            return replace(self._artefact(stage, record), begins_from=self._begins_from)
        return self._publish(record) if stage == "publish" else self._artefact(stage, record)

    @cached_property
    def _begins_from(self) -> Parent | None:
        """The version that `train.init_from` names now; it is looked up once, so that key and weights are of one."""
        address = self.experiment.train.init_from
        if address is None:
            return None
        try:
            store, prefix = resolve(address, self.store)
        except ConfigError as error:
            raise ConfigError(f"train.init_from: {error}") from None
        manifest = read_manifest(store, prefix)
        if manifest is None or manifest.kind != VERSION:
            raise ConfigError(f"train.init_from={address}: {store.uri(prefix)} is no published version; `gan models "
                              "list` prints those there are")
        return Parent(kind=manifest.kind, uri=store.uri(prefix), digest=manifest.digest)

    def _record(self, stage: str, known: Mapping[str, str]) -> StageRecord:
        set_to = settings(self.experiment, stage)
        upstream_of = inputs_of(self.experiment, stage)
        inputs = {upstream: known[upstream] for upstream in upstream_of if upstream in known}
        if stage == "prepare":
            with remembered(self.store, note=say):
                inputs["source"] = source_of(self.experiment).fingerprint()
        if stage == "train" and self._begins_from is not None:
            inputs[INIT_FROM] = self._begins_from.digest
        sources = code(self.experiment, stage)
        complete = all(upstream in known for upstream in upstream_of)
        key = stage_key(stage, set_to, inputs, sources) if complete else ""
        return StageRecord(key=key, config=set_to, inputs=inputs, code=sources)

    def _artefact(self, stage: str, record: StageRecord) -> Step:
        prefix = f"{FOLDERS[stage]}/{record.key[:PREFIX_CHARS]}"
        if stage in self.remake:
            return Step(stage, Action.RUN, "asked for by --remake", record, prefix)
        try:
            manifest = read_manifest(self.store, prefix)
        except DamagedFile:
            return Step(stage, Action.RUN, f"{MANIFEST} is damaged", record, prefix)
        if manifest is not None:
            return self._made(stage, record, prefix, manifest)
        if stage == "train":
            position = newest_checkpoint(self.store, prefix)
            if position is not None:
                images = self.experiment.train.images
                return Step(stage, Action.RESUME, f"interrupted; {position:,} of {images:,} images are done",
                            record, prefix)
        return Step(stage, Action.RUN, self._why(stage, record), record, prefix)

    def _made(self, stage: str, record: StageRecord, prefix: str, manifest: Manifest) -> Step:
        missing = missing_files(self.store, prefix, manifest)
        if missing:
            return Step(stage, Action.RUN, f"{missing[0]} is missing or has another size", record, prefix)
        return Step(stage, Action.REUSE, "nothing it depends on changed", record, prefix, manifest.digest)

    def _publish(self, record: StageRecord) -> Step:
        version, judged = is_published(self.store, self.experiment, record.key)
        if version is None or "publish" in self.remake:
            return Step("publish", Action.RUN, self._why("publish", record), record)
        prefix = version_prefix(self.experiment.name, version)
        if not judged:
            return Step("publish", Action.RUN, f"version {version} was not judged by this gate", record, prefix)
        return Step("publish", Action.REUSE, "nothing it depends on changed", record, prefix, record.key)

    def _why(self, stage: str, record: StageRecord) -> str:
        before = self.before.get(stage)
        if before is None:
            return "never run in this store"
        return "; ".join(_changes(before, record, inputs=True)) or "its result is not in the store"


def read_all_data(store: Store, experiment: Experiment) -> None:
    """Reads every byte of a data set whatever its listing says; plans on this store then go by what was found."""
    with remembered(store, verify=True, note=say):
        source_of(experiment).fingerprint()


def say(line: str) -> None:
    """What a plan takes its time for."""
    print(line, file=sys.stderr)


def newest_checkpoint(store: Store, run_prefix: str) -> int | None:
    """The position of the newest finished checkpoint of a run; None when there is none."""
    for name in reversed(store.names(f"{run_prefix}/checkpoints")):
        if store.exists(f"{run_prefix}/checkpoints/{name}/{MANIFEST}"):
            return int(name.partition("-")[0])
    return None


def _changes(before: StageRecord | None, now: StageRecord, *, inputs: bool) -> list[str]:
    """What differs between two runs of a stage, most telling first."""
    if before is None:
        return []
    changes = [
        f"{name} changed: {_shown(before.config.get(name))} → {_shown(now.config.get(name))}"
        for name in {**before.config, **now.config}
        if before.config.get(name) != now.config.get(name)
    ]
    modules = sorted(m for m in {**before.code, **now.code} if before.code.get(m) != now.code.get(m))
    if modules:
        changes.append(f"code changed: {', '.join(modules[:3])}" + (" …" if len(modules) > 3 else ""))
    if inputs:
        changed = [name for name in now.inputs if before.inputs.get(name) not in (None, now.inputs[name])]
        changes += [f"the result of {name} changed" if name in STAGES else f"the {name} changed" for name in changed
                    if name != INIT_FROM]
        if before.inputs.get(INIT_FROM) != now.inputs.get(INIT_FROM):
            changes.append("the weights that train.init_from names changed")
    return changes


def _shown(value: Any) -> str:
    return "unset" if value is None else str(value)
