"""A trial that trains with several workers: Ray Train places them, and the trial reads its looks from the store.

Training goes on between looks, so that no look costs a start of the workers; each look has its checkpoint, of all
workers' common state.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

from gan_core.config import FD_DOMAIN, Experiment
from gan_core.errors import Interrupted
from gan_core.manifest import Parent
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace, position_of
from pipelines.interrupt import StopSignals
from pipelines.on_ray import GOES_ON, train_on_ray
from pipelines.profile import Profile
from pipelines.tuning.settings import POSITION
from pipelines.tuning.slots import Slot, slot

if TYPE_CHECKING:
    from pipelines.tuning.setting import Setting
    from pipelines.tuning.trial import Told

LOOK_S = 0.5


def train_on_many(
    setting: Setting, experiment: Experiment, place: RunPlace, parents: tuple[Parent, ...], told: Told
) -> None:
    """Trains to the end and tells of each look; where Tune ends the trial, its workers end with a checkpoint.

    Errors as of `train_on_ray`.
    """
    # of a Ray that outlives this process: where Tune ends it, the workers' room has to be freed by somebody
    profile = Profile.model_validate(setting.profile).in_a_job()
    signals = StopSignals(GOES_ON)  # heard by nobody here: this is not the main thread, and Tune's word takes its place

    def train() -> None:
        train_on_ray(experiment, profile, place, setting.shards, parents, setting.features, signals,
                     setting.objective.names)

    with slot(setting.slots, told.trial.prefix) as held:
        told.begin()
        done = _in_a_thread(train)
        try:
            for position, row in _looks(told.store, place.prefix, told.trial.images, done, held):
                told.look(position, row)
        except SystemExit:  # Tune's word that the trial ends or pauses; soon it ends this process too
            signals.number = signal.SIGTERM
            held.free()
            wait([done])
            raise
        except BaseException:
            signals.number = signal.SIGTERM
            _until(done, held)
            raise
        done.result()


def _looks(
    store: Store, run: str, after: int, done: Future[None], held: Slot
) -> Iterator[tuple[int, Mapping[str, float]]]:
    """Each row of the curves with what was measured, as its checkpoint comes into the store."""
    over = False
    while not over:
        over = not wait([done], LOOK_S).not_done
        held.keep()
        for name in sorted(store.names(f"{run}/metrics")):
            if position_of(name) <= after:
                continue
            rows = [json.loads(line) for line in store.read(f"{run}/metrics/{name}").splitlines()]
            for row in rows:
                if FD_DOMAIN in row and row[POSITION] > after:
                    after = row[POSITION]
                    yield after, row


def _until(done: Future[None], held: Slot) -> None:
    """Keeps the slot until the workers have ended."""
    while wait([done], LOOK_S).not_done:
        held.keep()
    error = done.exception()
    if error is not None and not isinstance(error, Interrupted | KeyboardInterrupt):
        raise error


def _in_a_thread(work: Callable[[], None]) -> Future[None]:
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="train", daemon=True).start()
    return done
