"""Training on Ray Train: places the workers, restarts them, and fits the core's reporter to Ray's.

Ray keeps nothing that is needed: checkpoints are the core's own, in the store, and a restart finds them there.
"""

from __future__ import annotations

import json
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import ray
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer

from gan_core import errors
from gan_core.config import Experiment, experiment_from
from gan_core.data.shards import open_shards
from gan_core.errors import ConfigError, GanError, StoreError, WorkersFailed
from gan_core.manifest import Parent
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from gan_core.train.loop import fit
from gan_core.train.report import Command, Trouble
from pipelines.cluster import connect
from pipelines.profile import Profile

RAY_LOGS = "/tmp/ray/session_latest/logs"


def train_on_ray(
    experiment: Experiment, profile: Profile, place: RunPlace, shards: str, parents: tuple[Parent, ...]
) -> None:
    """Trains until the run is finished in the store.  `shards` is the prefix of the prepared data.

    Raises what a worker raised when a person can put it right, and WorkersFailed when workers kept dying.
    """
    connect(profile, experiment.train.most_workers)
    gpus = _gpus_per_worker(experiment.train.most_workers)
    _refuse_what_cannot_fit(experiment.train.most_workers, profile.cpus_per_worker, gpus)
    fit_id = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="gan-pipelines-ray-", ignore_cleanup_errors=True) as bookkeeping:
        trainer = _trainer(experiment, profile, place, shards, parents, gpus, fit_id, bookkeeping)
        try:
            _in_a_thread(trainer.fit)
        except TrainingFailedError as error:
            _raise_recorded(place, fit_id)
            raise WorkersFailed(f"training workers failed more than {profile.ray.worker_retries} times: "
                                f"{_last_line(error)}; Ray keeps their logs, on this machine in {RAY_LOGS}; "
                                "the same command goes on from the newest checkpoint") from error


def _trainer(
    experiment: Experiment,
    profile: Profile,
    place: RunPlace,
    shards: str,
    parents: tuple[Parent, ...],
    gpus: int,
    fit_id: str,
    bookkeeping: str,
) -> TorchTrainer:
    return TorchTrainer(
        _train_on_worker,
        train_loop_config={
            "experiment": experiment.as_json(),
            "store": place.store.url,
            "prefix": place.prefix,
            "key": place.key,
            "shards": shards,
            "parents": [parent.model_dump() for parent in parents],
            "threads": profile.cpus_per_worker,
            "fit_id": fit_id,
        },
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=experiment.train.most_workers,
            use_gpu=bool(gpus),
            resources_per_worker={"CPU": profile.cpus_per_worker, "GPU": gpus},
        ),
        run_config=RunConfig(
            name=place.key,
            storage_path=bookkeeping,
            failure_config=FailureConfig(max_failures=profile.ray.worker_retries),
        ),
    )


def _in_a_thread(work: Callable[[], object]) -> None:
    """Runs it beside the main thread, where Ctrl-C stays ours: in it, Ray would answer with exit status 0."""
    done: Future[object] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except Exception as error:
            done.set_exception(error)

    threading.Thread(target=run, name="fit", daemon=True).start()
    done.result()


def _last_line(error: Exception) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


class RayReporter:
    """The core's reporter on a Ray worker: every rank reports at checkpoints, without an upload."""

    def scalars(self, position: int, values: Mapping[str, float]) -> None:
        """The curves are in the store; whoever watches reads them there."""

    def trouble(self, position: int, trouble: Trouble) -> None:
        """The log has it."""

    def note(self, text: str) -> None:
        """The log has it."""

    def checkpoint(self, position: int, saved: str) -> None:
        ray.train.report({"position": position, "checkpoint": saved})

    def command(self) -> Command:
        return Command.CONTINUE


def _train_on_worker(config: dict[str, Any]) -> None:
    store = Store(config["store"])
    place = RunPlace(store, config["prefix"], config["key"])
    _raise_recorded(place, config["fit_id"])  # Ray restarts after any error; this one would only come again
    try:
        fit(
            experiment_from(config["experiment"]),
            open_shards(store, config["shards"]),
            place,
            RayReporter(),
            parents=tuple(Parent(**parent) for parent in config["parents"]),
            threads=config["threads"],
        )
    except GanError as error:
        record = json.dumps({"error": type(error).__name__, "message": str(error)})
        with suppress(StoreError):  # a full disk takes no record either; Ray carries the error's text
            store.write(_failure(place, config["fit_id"]), record.encode())
        raise


def _failure(place: RunPlace, fit_id: str) -> str:
    return f"{place.prefix}/failures/{fit_id}.json"


def _raise_recorded(place: RunPlace, fit_id: str) -> None:
    try:
        record = json.loads(place.store.read(_failure(place, fit_id)))
    except FileNotFoundError:
        return
    raise getattr(errors, record["error"])(record["message"])


def _gpus_per_worker(workers: int) -> int:
    """1 when the cluster has a GPU for each worker, else 0."""
    return int(ray.cluster_resources().get("GPU", 0) >= workers)


def _refuse_what_cannot_fit(workers: int, cpus: int, gpus: int) -> None:
    has = ray.cluster_resources()
    if has.get("CPU", 0) < workers * cpus:
        raise ConfigError(f"train.workers={workers} asks for {workers * cpus} CPUs and the cluster has "
                          f"{has.get('CPU', 0):.0f}; train.workers={max(1, int(has.get('CPU', 0)) // cpus)} fits")
