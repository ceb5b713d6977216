"""One trial, in a process of Tune's: trains, looks at the objective, and tells Tune of each look.

What a trial has done is in the store.  One that begins again, after a pause, a lost machine or a new start of the whole
search, first tells of the looks that it had, so that Tune's scheduler decides as it did, and goes on from its newest
checkpoint, bit for bit as if it had never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

from ray import tune

from gan_core.config import FD_DOMAIN
from gan_core.data.shards import Shards, open_shards
from gan_core.errors import ConfigError, GanError, StoreError
from gan_core.manifest import Parent
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from gan_core.train.loop import fit
from gan_core.train.patience import PatientStore
from gan_core.train.report import Silent
from pipelines.features import figures_in
from pipelines.retries import worth_retrying
from pipelines.tuning.records import Look, Trial, TrialEnd, read_trial, write
from pipelines.tuning.setting import PATIENCE_S, Setting
from pipelines.tuning.settings import LOOKS, POSITION, VALUE, checkpoint_key, looks_at, trial_experiment
from pipelines.tuning.takeover import take_over


def run_trial(config: dict[str, Any], setting: Setting) -> None:
    """Tune's trial function.  config: {"at", "number", "changes", "params"} and {"donor", "position"} of a takeover.

    Raises what another try may mend; what it cannot is recorded, and the trial has failed.
    """
    store = PatientStore(Store(setting.store), seconds=PATIENCE_S)
    at, changes = config["at"], config["changes"]
    trial = _trial(store, at)
    told = Told(store, trial, setting)
    told.again()
    if trial.end is not None:
        if trial.end.status == "failed":
            told.worst()
        return
    try:
        if changes > len(trial.changes):
            take_over(store, setting.search, setting.searched, _shards(setting.store, setting.shards),
                      setting.shards_digest, trial, config)
            told.trial = trial = _trial(store, at)
        _train(setting, trial, told)
    except GanError as error:
        if worth_retrying(error):
            raise
        write(store, f"{at}/ended.json", TrialEnd(status="failed", problem=str(error)))
        told.worst()


@dataclass
class Told:
    """What Tune is told of one trial, and what the store keeps of it."""

    store: Store
    trial: Trial
    setting: Setting
    _began: float = field(default_factory=time.monotonic)

    def again(self) -> None:
        """Tells Tune of the looks of earlier starts of the search; once in each start."""
        mark = f"{self.trial.prefix}/starts/{self.setting.start}.json"
        if self.store.exists(mark):
            return
        self.store.write(mark, b"{}")
        for look in self.trial.looks[-1:] if self.setting.last_look_only else self.trial.looks:
            self._tune(look.position, look.value)

    def begin(self) -> None:
        """Counts time from here, and not from when the trial began to wait for its turn."""
        self._began = time.monotonic()

    def look(self, position: int, row: Mapping[str, float]) -> None:
        """Keeps a new look and tells Tune of it; returns when Tune wants the trial to go on."""
        if position <= self.trial.images:
            return  # training began again behind the newest look: what is seen again is the same
        objective = self.setting.objective
        if missing := [name for name in objective.names if name not in row]:
            raise ConfigError(f"tune.objective: the curves have no '{missing[0]}'; they have "
                              f"{', '.join(sorted(set(row) - {'position'}))}")
        before = self.trial.looks[-1].seconds if self.trial.looks else 0.0
        finite = {name: float(value) for name, value in row.items() if name != "position" and math.isfinite(value)}
        look = Look(position=position, value=objective.value(row), metrics=finite,
                    seconds=round(before + time.monotonic() - self._began, 3))
        self._began = time.monotonic()
        write(self.store, f"{self.trial.prefix}/looks/{position:012d}.json", look)
        self.trial = replace(self.trial, looks=(*self.trial.looks, look))
        self._tune(position, look.value)

    def worst(self) -> None:
        """Tells Tune of a trial that failed, so that its scheduler and the searcher need not wait for it."""
        self._tune(self.trial.images, None)

    def _tune(self, position: int, value: float | None) -> None:
        worst = math.inf if self.setting.objective.goal == "min" else -math.inf
        tune.report({VALUE: worst if value is None else value, LOOKS: looks_at(self.setting.searched, position),
                     POSITION: position})


@dataclass
class TellsTune(Silent):
    """The core's reporter of a trial with one worker: a look is told once its checkpoint is on its way."""

    told: Told
    _row: Mapping[str, float] = field(default_factory=dict)

    def scalars(self, position: int, values: Mapping[str, float]) -> None:
        self._row = dict(values)

    def checkpoint(self, position: int, saved: str) -> None:
        if FD_DOMAIN in self._row and self._row[POSITION] == position:
            self.told.look(position, self._row)


def _train(setting: Setting, trial: Trial, told: Told) -> None:
    experiment = trial_experiment(setting.searched, trial.params, trial.settings.seed)
    store = Store(setting.store)
    place = RunPlace(store, trial.run_prefix, checkpoint_key(experiment, setting.shards_digest))
    parents = tuple(Parent(**parent) for parent in setting.parents)
    if experiment.train.most_workers == 1:
        fit(experiment, _shards(setting.store, setting.shards), place, TellsTune(told), parents=parents,
            threads=setting.threads, compare=partial(figures_in, told.store, setting.features, setting.objective.names))
    else:
        from pipelines.tuning.many_workers import train_on_many  # imports Ray Train

        train_on_many(setting, experiment, place, parents, told)
    # where Tune has not ended it with its last look, a stop rule of the experiment's has
    write(told.store, f"{trial.prefix}/ended.json", TrialEnd(status="finished"))


@lru_cache(maxsize=1)
def _shards(store: str, prefix: str) -> Shards:
    """Every file read through and checked, once for all trials of this process."""
    return open_shards(PatientStore(Store(store)), prefix)


def _trial(store: Store, at: str) -> Trial:
    trial = read_trial(store, at)
    if trial is None:
        raise StoreError(f"{store.uri(at)}/trial.json is gone; was the search removed meanwhile? start it again")
    return trial
