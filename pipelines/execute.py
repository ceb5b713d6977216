"""One run of an experiment: each stage is done once, by looking at its files, and what became of it is recorded.

Stages import torch and Ray; they are imported where there is work for them, so that finding all done stays cheap.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from gan_core.config import Experiment, experiment_from
from gan_core.errors import DamagedFile, GanError, Interrupted, Outage, StoreError
from gan_core.manifest import MANIFEST, Parent, damaged_files, missing_files, read_manifest
from gan_core.options.feature_networks import NAMED
from gan_core.published import version_prefix
from gan_core.store import Store
from pipelines.backend import Backend, Work, backend_of
from pipelines.cluster import stop_ray
from pipelines.handles import Features, Handle, Published, Scored, Shards, Trained, Tuned
from pipelines.keys import FEATURES, INPUTS, decides_by_fd, features_key, features_prefix
from pipelines.models import Standard
from pipelines.plan import Action, Planner, Step, newest_checkpoint
from pipelines.profile import Profile
from pipelines.records import RunRecord, StageRecord, StageResult, new_record, read_record, record_path, write_record
from pipelines.stages.publish import publish

if TYPE_CHECKING:
    from gan_core.data.write import Progress
    from gan_core.train.checkpoint import RunPlace

HandleT = TypeVar("HandleT", bound=Handle)
TELL_EVERY_S = 2.0
STATUS = {Action.RUN: "RUN", Action.REUSE: "REUSED", Action.RESUME: "RESUMED"}


@dataclass(frozen=True)
class Begun:
    """When a stage began, in seconds of the monotonic clock, and from which position when it trains."""

    at: float
    position: int | None


@dataclass
class Run:
    """Stages as methods: each does its work, or finds it done, and returns a handle."""

    store: Store
    experiment: Experiment
    profile: Profile
    remake: frozenset[str]
    path: str
    record: RunRecord
    backend: Backend
    prefixes: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    published: Published | None = None
    told: float = field(default_factory=time.monotonic)

    @staticmethod
    def of(
        experiment: dict[str, Any], store: str, profile: dict[str, Any], remake: tuple[str, ...] = (), path: str = ""
    ) -> Run:
        """From plain values, as a flow is given them."""
        settings, where = experiment_from(experiment), Profile.model_validate(profile)
        started, place = datetime.now(UTC), Store(store)
        begun = read_record(place, path) if path else None
        return Run(
            store=place,
            experiment=settings,
            profile=where,
            backend=backend_of(where),
            remake=frozenset(remake),
            path=path or record_path(settings.name, started),
            record=begun or new_record(experiment, started, store=place.url, profile=profile, remake=remake),
        )

    def is_flow_run(self, id_: str) -> None:
        """Has the record say by which of Prefect's flow runs the run is known, with the next that is written of it."""
        self.record = self.record.model_copy(update={"flow_run": id_})

    def prepare(self, workers: int | None = None, progress: Progress | None = None) -> Shards:
        """The data set as shards.  workers: as of `on_ray_data`.  progress: is told how far that is."""

        def work(step: Step) -> None:
            from pipelines.on_ray_data import on_ray_data
            from pipelines.stages.prepare import prepare

            place = on_ray_data(self.experiment, self.profile, workers)
            prepare(self.store, self.experiment, key=step.key, prefix=step.prefix, place=place, progress=progress)

        return self._stage("prepare", Shards, work)

    def train(self, shards: Shards) -> Trained:
        """A finished training run on the shards."""
        judged_by = self.features(shards) if decides_by_fd(self.experiment) else None

        def launch(place: RunPlace, data: str, parents: tuple[Parent, ...]) -> None:
            from pipelines.on_ray import train_on_ray

            watched_with = judged_by or self._watched_with(shards)
            prefix = watched_with.prefix if watched_with is not None else None
            train_on_ray(self.experiment, self.profile, place, data, parents, prefix)

        def work(step: Step) -> None:
            from pipelines.stages.train import train

            self._fetch_networks()
            judge = judged_by.parent() if judged_by is not None else None
            also_from = tuple(parent for parent in (step.begins_from, judge) if parent is not None)
            train(self.store, self.experiment, shards, launch, key=step.key, prefix=step.prefix, also_from=also_from)

        return self._stage("train", Trained, work)

    def _fetch_networks(self) -> None:
        """Has the files of the feature networks on this machine: one that cannot be had is told before training."""
        from gan_core.metrics.network_files import network_bytes

        files = {**NAMED, **self.experiment.evaluate.network_files}
        for file in (files[name] for name in self.experiment.evaluate.networks if name in files):
            network_bytes(file)

    def features(self, shards: Shards, stage: str = "train") -> Features:
        """The feature network that decides about the run: made before the run has a name, as its digest is in it.

        stage: for which it is made.
        """
        key = self._features_key(shards)
        step = Step(FEATURES, Action.RUN, "", StageRecord(key=key, config={}, inputs={}, code={}), features_prefix(key))

        def work(step: Step) -> None:
            from pipelines.features import features_of

            features_of(self.store, shards, key, self.experiment.evaluate.seed, target=self.experiment.target)

        with self._told(stage, Begun(time.monotonic(), None)):
            if self._made(step.prefix) is None:
                self.backend.do(self, step, work)
            found = self._made(step.prefix)
            if found is None:
                raise StoreError(self._gone(step.prefix))
        self.digests[FEATURES] = found.digest
        return found

    def _made(self, prefix: str) -> Features | None:
        """The feature network there, where it is whole."""
        manifest = read_manifest(self.store, prefix)
        if manifest is None or missing_files(self.store, prefix, manifest):
            return None
        return Features(self.store.uri(prefix), prefix, manifest.digest)

    def _watched_with(self, shards: Shards) -> Features | None:
        """The feature network that shows how training goes; None where that is not wanted, or costs too much."""
        from pipelines.features import features_at_hand

        if not self.experiment.train.fd_samples:
            return None
        return features_at_hand(self.store, shards, self._features_key(shards), self.experiment.evaluate.seed,
                                self.experiment.target)

    def _features_key(self, shards: Shards) -> str:
        return features_key(read_manifest(self.store, shards.prefix), self.experiment.evaluate.seed,
                            self.experiment.target)

    def evaluate(self, shards: Shards, trained: Trained) -> Scored:
        """Metrics, samples and report of the trained generator."""

        def work(step: Step) -> None:
            from pipelines.on_ray_looks import on_ray_looks
            from pipelines.stages.evaluate import evaluate

            features, place = self._features_key(shards), on_ray_looks(self.profile, self._looked_at)
            evaluate(self.store, self.experiment, shards, trained, key=step.key, prefix=step.prefix, features=features,
                     place=place)

        return self._stage("evaluate", Scored, work)

    def _looked_at(self, done: int, images: int) -> None:
        """Records how far evaluation is, from time to time, for whoever follows the run."""
        if time.monotonic() - self.told > TELL_EVERY_S:
            self.told = time.monotonic()
            self.tell(f"{done:,}/{images:,} images")

    def tune(self, shards: Shards) -> Tuned:
        """A finished search on the shards."""

        def work(step: Step) -> None:
            from pipelines.stages.tune import tune
            from pipelines.tuning.search import Conductor

            features = partial(self.features, stage="tune")
            conductor = Conductor(self.store, self.experiment, self.profile, features, self.tell)
            tune(self.store, self.experiment, shards, conductor.conduct, key=step.key, prefix=step.prefix)

        return self._stage("tune", Tuned, work)

    def tell(self, detail: str) -> None:
        """Records how far the stage at work is, in words."""
        self._write(detail=detail)

    def publish(self, trained: Trained, scored: Scored) -> Published:
        """A version of the trained generator with its scores, and the gate's verdict on it."""

        def work(step: Step) -> Published:
            return publish(
                self.store,
                self.experiment,
                key=step.key,
                run_prefix=trained.prefix,
                scores_prefix=scored.prefix,
                parents=(trained.parent(), scored.parent()),
                beside=self._beside,
            )

        self._do("publish", work)
        if self.published is not None:  # by an earlier try of this run, where what failed came after it
            return self.published
        prefix = self.prefixes["publish"]
        return Published(self.store.uri(prefix), prefix.rpartition("/")[2], promoted=False, refusals=())

    def _beside(self, champion: str, version: str, metrics: tuple[str, ...]) -> Standard:
        """A champion's numbers, as published or measured anew, on what this run is measured on."""
        from pipelines.champion import standard

        return standard(self.store, self.experiment.name, champion, version, metrics, self._score)

    def _score(self, champion: str) -> Mapping[str, Mapping[str, Any]]:
        """The metrics of the version at a prefix, on the data and by the settings of this run."""
        from pipelines.champion_scores import scored_anew
        from pipelines.on_ray_looks import on_ray_looks

        prefix = self.prefixes["prepare"]
        shards = Shards(self.store.uri(prefix), prefix, self.digests["prepare"])
        place = on_ray_looks(self.profile, self._looked_at)
        return scored_anew(self.store, self.experiment, shards, self._features_key(shards), champion, place)

    def _stage(self, stage: str, kind: type[HandleT], work: Work) -> HandleT:
        self._do(stage, work)
        manifest = read_manifest(self.store, self.prefixes[stage])
        if manifest is None:
            raise StoreError(self._gone(self.prefixes[stage]))
        self.digests[stage] = manifest.digest
        return kind(self.store.uri(self.prefixes[stage]), self.prefixes[stage], manifest.digest)

    def _gone(self, prefix: str) -> str:
        return f"{self.store.uri(prefix)}/{MANIFEST} is not there after the stage ran; was it removed meanwhile?"

    def _do(self, stage: str, work: Work) -> None:
        """Has a stage's work done unless its result is there, and records what became of it."""
        step = Planner(self.store, self.experiment, self.remake).step(stage, self.digests)
        self.prefixes[stage] = step.prefix
        self.record = self.record.model_copy(update={"stages": {**self.record.stages, stage: step.record}})
        trains = stage == "train" and step.action is not Action.REUSE
        begun = Begun(time.monotonic(), (newest_checkpoint(self.store, step.prefix) or 0) if trains else None)
        with self._told(stage, begun):
            if step.action is not Action.REUSE:
                published = self.backend.do(self, step, work)
                if published is not None:
                    self.published = published
                    self.prefixes[stage] = version_prefix(self.experiment.name, published.version)
        self._result(stage, STATUS[step.action], begun)

    def reused(self, stage: str) -> bool:
        """Whether a stage's result was there before this run."""
        return any(result.name == stage and result.status == STATUS[Action.REUSE] for result in self.record.results)

    def waits(self, stage: str, error: BaseException) -> None:
        """Records that a stage which failed so will be tried again; until then its failure is what became of it."""
        if not isinstance(error, Outage):
            stop_ray()  # a connection to a cluster that died never comes back; the next try makes a new one
        with suppress(StoreError):
            self._write(running=stage)

    @contextmanager
    def _told(self, stage: str, begun: Begun) -> Iterator[None]:
        """Records that a stage is at work, and how it failed.  What an earlier try left of it is gone."""
        others = tuple(result for result in self.record.results if result.name != stage)
        self._write(running=stage, prefix=self.prefixes.setdefault(stage, ""), results=others, error="")
        try:
            yield
        except DamagedFile as error:
            self._failed(stage, begun, error)
            raise DamagedFile(self._advice(stage, error)) from error
        except BaseException as error:
            self._failed(stage, begun, error)
            raise

    def _advice(self, stage: str, error: DamagedFile) -> str:
        """The error, and which upstream stage makes the damaged file again, unless a job has said it already."""
        if "--remake" in str(error):
            return str(error)
        for upstream in INPUTS[stage]:
            manifest = read_manifest(self.store, self.prefixes[upstream])
            if manifest is not None and damaged_files(self.store, self.prefixes[upstream], manifest):
                return f"{error}; run again with --remake {upstream} to make it anew"
        return str(error)

    def _failed(self, stage: str, begun: Begun, error: BaseException) -> None:
        with suppress(StoreError):  # a full disk takes no record either; the error itself is on its way
            self._write(error=str(error) if isinstance(error, GanError) else f"{type(error).__name__}: {error}")
            self._result(stage, "STOPPED" if isinstance(error, Interrupted | KeyboardInterrupt) else "FAILED", begun)

    def _result(self, stage: str, status: str, begun: Begun) -> None:
        prefix = self.prefixes[stage]
        trained = None if begun.position is None else (begun.position, newest_checkpoint(self.store, prefix) or 0)
        result = StageResult(
            name=stage,
            status=status,
            seconds=round(time.monotonic() - begun.at, 2),
            uri=self.store.uri(prefix) if prefix else "",
            trained=trained,
        )
        self._write(results=(*self.record.results, result), running="", prefix="", detail="")

    def _write(self, **changes: Any) -> None:
        self.record = self.record.model_copy(update=changes)
        write_record(self.store, self.path, self.record)
