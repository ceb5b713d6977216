"""A search on Tune: as many trials at a time as the cluster has room for, until all have ended.

Nothing that Tune keeps is needed: it works in a folder that goes with this process, and a search that is started again
is built anew from the store.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ray import tune
from ray.tune.schedulers import HyperBandScheduler, PopulationBasedTraining, TrialScheduler
from ray.tune.search import Searcher

from gan_core.errors import Interrupted
from gan_core.store import Store
from gan_core.train.patience import PatientStore
from pipelines.interrupt import StopSignals
from pipelines.profile import Profile
from pipelines.tuning.places import Places
from pipelines.tuning.recorder import Recorder
from pipelines.tuning.setting import PATIENCE_S, Setting
from pipelines.tuning.settings import VALUE, looks_in_all, tune_of
from pipelines.tuning.slots import make_slots
from pipelines.tuning.trial import run_trial

GOES_ON = "the same command goes on: ended trials are kept, the others go on from their checkpoints"
RETRIES = 2  # of a trial whose process or machine was lost
LOOK_S = 0.2
ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # tables of Tune's own, in its own folder
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",  # that a trial with several workers has to end them
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # between pictures of its own state, which nobody reads; trials wait for each
    "RAY_AIR_NEW_OUTPUT": "0",  # a banner that is printed at any verbosity
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # the store may be named by a path from where the command was given
}


@dataclass(frozen=True)
class Batch:
    """Trials that are driven together.  left_s: of the time budget; None where there is none."""

    searcher: Searcher
    scheduler: TrialScheduler
    trials: int
    left_s: float | None = None


def drive(
    store: Store, setting: Setting, batch: Batch, profile: Profile, signals: StopSignals, heard: Callable[[], None]
) -> Recorder:
    """Runs trials until the searcher has no more and all have ended, or the time is up.

    heard: called when something became of a trial.  Raises Interrupted for a signal, ConfigError where not one trial
    finds room or none of the first could be trained, WorkersFailed where some are left to be tried again.
    """
    experiment = setting.searched
    places = Places.of(experiment, profile)
    if places.takes_turns:
        setting = replace(setting, slots=make_slots(places.at_once))
    recorder = Recorder(PatientStore(store, seconds=PATIENCE_S), looks_in_all(experiment), signals, heard, batch.left_s)
    with _environment(), tempfile.TemporaryDirectory(prefix="gan-tune-", ignore_cleanup_errors=True) as folder:
        tuner = _tuner(setting, batch, places, recorder, folder)
        done = _in_a_thread(tuner)
        while not wait([done], LOOK_S).done:
            pass
        done.result()
    if signals.number:
        raise Interrupted(f"stopped by a signal; {GOES_ON}", 128 + signals.number)
    recorder.raise_what_failed()
    return recorder


def _tuner(setting: Setting, batch: Batch, places: Places, recorder: Recorder, folder: str) -> tune.Tuner:
    # a trial that waits for its workers takes none of their room, and Ray wants something to be asked for
    room = {"CPU": 0.0, "memory": 2.0**20} if places.takes_turns else {"CPU": float(places.cpus), "GPU": places.gpus}
    # those that a scheduler pauses would count among those at a time, and a population must all be there
    pauses = isinstance(batch.scheduler, HyperBandScheduler | PopulationBasedTraining)
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(run_trial, setting=setting), room),
        tune_config=tune.TuneConfig(
            metric=VALUE, mode=tune_of(setting.searched).objective.goal, search_alg=batch.searcher,
            scheduler=batch.scheduler, num_samples=batch.trials, reuse_actors=True,
            max_concurrent_trials=None if pauses else places.at_once,
        ),
        run_config=tune.RunConfig(
            name="search", storage_path=folder, callbacks=[recorder], stop=recorder, verbose=0,
            failure_config=tune.FailureConfig(max_failures=RETRIES),
        ),
    )


@contextmanager
def _environment() -> Iterator[None]:
    """What Tune reads from the environment of whoever starts it, where what is set already stays; and its log rests:
    what becomes of trials is told by the recorder, without stack traces.
    """
    log = logging.getLogger("ray.tune")
    level = log.level
    log.setLevel(logging.CRITICAL)
    added = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        log.setLevel(level)
        for name in added:
            os.environ.pop(name, None)


def _in_a_thread(tuner: tune.Tuner) -> Future[None]:
    """Beside the main thread, where signals stay ours."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            tuner.fit()
            done.set_result(None)
        except Exception as error:
            done.set_exception(error)

    threading.Thread(target=run, name="tune", daemon=True).start()
    return done
