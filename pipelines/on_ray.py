"""Training on Ray Train, from the side of whoever starts it: places the workers, follows them, and has them stop."""

from __future__ import annotations

import math
import os
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from ray.exceptions import RayError
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError
from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.api.exceptions import TrainingFailedError

from gan_core.config import Elastic, Experiment
from gan_core.errors import Interrupted, ProgramFailed, WorkersFailed
from gan_core.manifest import MANIFEST, Parent
from gan_core.train.checkpoint import RunPlace, position_of
from pipelines.cluster import connect
from pipelines.interrupt import StopSignals
from pipelines.lean_trainer import LeanTrainer
from pipelines.messages import Messages
from pipelines.profile import Profile
from pipelines.ray_controller import (
    CountNodesAgain,
    SaveBeforeResizing,
    TellOfLosses,
    of_the_program,
    what_was_lost,
)
from pipelines.ray_network import NetworkedTorch
from pipelines.ray_worker import raise_recorded, train_on_worker
from pipelines.room import Placed
from pipelines.stop import ask_to_stop

GOES_ON = "the same command goes on from the newest checkpoint"
NO_CHECKPOINT = -1
RAY_LOGS = "/tmp/ray/session_latest/logs"
FIXED_START_S, ELASTIC_START_S = 120.0, 5.0
LOOK_S = 0.2
LISTEN_EVERY = 5  # looks


def train_on_ray(
    experiment: Experiment, profile: Profile, place: RunPlace, shards: str, parents: tuple[Parent, ...],
    features: str | None = None, stop: StopSignals | None = None, figures: tuple[str, ...] = (),
) -> None:
    """Trains until the run is finished in the store.

    shards: the prefix of the prepared data.  features: that of the feature network which measures `fd_domain`; without
    one nobody does.  figures: what else it measures, of gan_core.metrics.in_search.
    SIGINT and SIGTERM have the workers stop after a checkpoint at their next step, and a number that somebody gives
    `stop`.
    Raises Interrupted then, what a worker raised when a person can put it right, and WorkersFailed when workers kept
    dying.
    """
    connect(profile, experiment.train.most_workers)
    placed = Placed.on_cluster(experiment, profile)
    start = Start.of(experiment, profile, place)
    made_from = {"shards": shards, "features": features, "figures": figures,
                 "parents": [parent.model_dump() for parent in parents]}
    with stop or StopSignals(GOES_ON) as signals:
        while True:
            had = _newest(place)
            with tempfile.TemporaryDirectory(prefix="gan-pipelines-ray-", ignore_cleanup_errors=True) as bookkeeping:
                try:
                    finished = start.follow(_trainer(start, placed, made_from, bookkeeping), signals)
                    break
                except (TrainingFailedError, RayError) as error:
                    raise_recorded(place, start.fit_id)
                    if signals.number:
                        finished = False
                        break
                    if _newest(place) == had:
                        raise start.given_up(error) from error
    if signals.number or not finished:
        raise start.stopped(finished, signals.number or signal.SIGINT)


def _trainer(run: Start, placed: Placed, made_from: Mapping[str, Any], bookkeeping: str) -> LeanTrainer:
    place, ray_config = run.place, run.profile.ray
    own: list[Any] = [TellOfLosses(place.store.url, place.prefix, run.fit_id)]
    if isinstance(placed.workers, tuple):
        own += [SaveBeforeResizing(), CountNodesAgain()]
    return LeanTrainer(
        train_on_worker,
        on_this_machine=run.profile.ray.address is None,
        train_loop_config={
            "experiment": run.experiment.as_json(),
            "store": place.store.url,
            "prefix": place.prefix,
            "key": place.key,
            **made_from,
            "threads": placed.cpus,
            "fit_id": run.fit_id,
            "attempts": run.attempts,
            "metrics": run.profile.ray.address is not None,  # Ray of this machine alone is watched by nobody
        },
        torch_config=NetworkedTorch.of("nccl" if placed.gpus else "gloo", ray_config.network),
        scaling_config=ScalingConfig(
            num_workers=placed.workers,
            use_gpu=bool(placed.gpus),
            resources_per_worker={"CPU": placed.cpus, "GPU": placed.gpus},
            elastic_resize_monitor_interval_s=ray_config.grow_check_s,
        ),
        run_config=RunConfig(
            name=place.key,
            storage_path=bookkeeping,
            failure_config=FailureConfig(
                max_failures=ray_config.worker_retries,
                controller_failure_limit=math.ceil(ray_config.room_wait_s / start_s(run.profile, run.experiment)),
            ),
            callbacks=own,
        ),
    )


@dataclass(frozen=True)
class Start:
    """One start of a run, as the process that made it sees it.  attempts: how many the run had before."""

    experiment: Experiment
    profile: Profile
    place: RunPlace
    fit_id: str
    attempts: int
    messages: Messages

    @staticmethod
    def of(experiment: Experiment, profile: Profile, place: RunPlace) -> Start:
        """A start that has not begun."""
        fit_id = uuid.uuid4().hex
        return Start(experiment, profile, place, fit_id, place.newest_attempt(),
                     Messages(place.store, place.prefix, fit_id))

    def follow(self, trainer: LeanTrainer, signals: StopSignals) -> bool:
        """Has it train, says what the workers say, and passes a signal on to them.  Whether the run is finished."""
        asked, looks = False, 0
        with _environment(self.profile, self.experiment):
            done = _in_a_thread(partial(_fit, trainer))
            while not wait([done], LOOK_S).done:
                looks += 1
                if signals.number and not asked:
                    asked = self._ask(signals)
                if looks % LISTEN_EVERY == 0:
                    _say(*self.messages.new())
        _say(*self.messages.new())
        return done.result()

    def given_up(self, error: Exception) -> WorkersFailed | ProgramFailed:
        """What to raise when restarts brought the run no further."""
        if isinstance(getattr(error, "controller_failure", None), WorkerGroupStartupTimeoutError):
            waited = self.profile.ray.room_wait_s
            return WorkersFailed(f"no room for the workers came free within {waited:g} s; see who holds it, by `ray "
                                 f"status` on the head, or raise the profile's ray.room_wait_s; {GOES_ON}")
        failures = getattr(error, "worker_failures", None) or {0: error}
        lost = what_was_lost(failures)
        if of_the_program(failures):
            return ProgramFailed(f"training failed on its workers, and again when they were started anew: {lost}; mend "
                                 f"that; the traceback is in Ray's logs of the workers, on this machine in {RAY_LOGS}; "
                                 f"{GOES_ON}")
        return WorkersFailed(f"training failed more than {self.profile.ray.worker_retries} times without a new "
                             f"checkpoint, at last because {lost}; Ray keeps the workers' logs, on this machine in "
                             f"{RAY_LOGS}, and the kernel's has what was killed for want of memory; {GOES_ON}")

    def stopped(self, finished: bool, number: int) -> Interrupted:
        """What to raise when training ended because someone asked for it."""
        images = self.experiment.train.images
        if finished:
            where = f"when training was finished at {images:,} images; the same command goes on with what follows it"
        else:
            where = f"at {max(0, _newest(self.place)):,} of {images:,} images; {GOES_ON}"
        return Interrupted(f"stopped by {signal.Signals(number).name} {where}", 128 + number)

    def _ask(self, signals: StopSignals) -> bool:
        """Has the workers stop; ends this process where there are none yet, and so nothing to save.

        False when the store does not take it: to be asked again at the next look.
        """
        name = signal.Signals(signals.number).name
        with suppress(Exception):  # every file system has its own
            if self.place.newest_attempt() == self.attempts:
                signals.end_now()
            ask_to_stop(self.place.store, self.place.prefix, self.fit_id, name)
            _say(f"{name}: stopping after the next step, with a checkpoint; a second one ends it at once")
            return True
        return False


def _newest(place: RunPlace) -> int:
    """The position of the newest finished checkpoint; NO_CHECKPOINT when there is none."""
    for name in reversed(place.checkpoints()):
        if place.store.exists(f"{place.prefix}/checkpoints/{name}/{MANIFEST}"):
            return position_of(name)
    return NO_CHECKPOINT


def start_s(profile: Profile, experiment: Experiment) -> float:
    """Seconds that Ray Train waits for room for the workers before it counts the nodes again."""
    elastic = isinstance(experiment.train.workers, Elastic)
    return profile.ray.start_timeout_s or (ELASTIC_START_S if elastic else FIXED_START_S)


@contextmanager
def _environment(profile: Profile, experiment: Experiment) -> Iterator[None]:
    """What Ray Train reads from the environment of whoever starts a run; what is set there already stays."""
    wanted = {
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": str(profile.ray.poll_s),
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(start_s(profile, experiment)),
        # its watcher is a process more, and nothing takes this machine away from under its own Ray
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0" if profile.ray.address is None else "1",
        "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": str(profile.ray.preemption_poll_s),
    }
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _fit(trainer: LeanTrainer) -> bool:
    result: Any = trainer.fit()  # typed as the result of Ray Train's first version
    return bool(result.return_value)


def _in_a_thread(work: Callable[[], bool]) -> Future[bool]:
    """Runs it beside the main thread, where signals stay ours: in it, Ray would answer Ctrl-C with exit status 0."""
    done: Future[bool] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except Exception as error:
            done.set_exception(error)

    threading.Thread(target=run, name="fit", daemon=True).start()
    return done


def _say(*lines: str) -> None:
    for line in lines:
        print(f"gan: {line}", file=sys.stderr, flush=True)
