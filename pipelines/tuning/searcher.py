"""Which settings are tried next: Optuna's samplers behind Tune's interface, with every suggestion in the store.

A suggestion is written before its trial starts.  A search that is started again gives its recorded trials the same
settings, and goes on with new ones after them; the n-th suggestion of the random searcher is a function of (seed, n).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState
from ray.tune.search import Searcher

from gan_core.config import Experiment
from gan_core.options.tune import TuneConfig
from gan_core.store import Store
from pipelines.tuning.records import TrialSettings, read_trial, trial_prefix, write
from pipelines.tuning.settings import LOOKS, VALUE

RANDOM_FIRST = 10  # suggestions of Optuna's before it models, at most
SHARE_OF_RANDOM = 4  # one in so many of a small search


class Recorded(Searcher):
    """Suggests at most `tune.samples` trials.  looks: of a trial at full length."""

    def __init__(self, store: Store, search: str, experiment: Experiment, tune: TuneConfig, looks: int) -> None:
        super().__init__(metric=VALUE, mode=tune.objective.goal)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._store, self._search, self._tune, self._looks = store, search, tune, looks
        self._seed = experiment.seed
        direction = StudyDirection.MINIMIZE if tune.objective.goal == "min" else StudyDirection.MAXIMIZE
        self._study = optuna.create_study(direction=direction, sampler=RandomSampler())
        self._asked: dict[str, optuna.Trial] = {}
        self._next = 0

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """What the trial function is given: {"at", "number", "changes", "params"}."""
        if self._next >= self._tune.samples:
            finished: Any = Searcher.FINISHED
            return finished  # type: ignore[no-any-return]
        number, self._next = self._next, self._next + 1
        at = trial_prefix(self._search, number)
        known = read_trial(self._store, at)
        if known is not None:
            self._study.enqueue_trial(known.settings.asked)
        self._study.sampler = self._sampler(number)
        asked = self._asked[trial_id] = self._study.ask()
        params = self._tune.draw(asked)
        if known is None:
            settings = TrialSettings(number=number, params=params, seed=self._seed, asked=asked.params)
            write(self._store, f"{at}/trial.json", settings)
            return {"at": at, "number": number, "changes": 0, "params": params}
        return {"at": at, "number": number, "changes": len(known.changes), "params": known.params}

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Notes what a look found; what failed says so in the place of its last look, which was noted."""
        if math.isfinite(result[VALUE]):
            self._asked[trial_id].report(result[VALUE], result[LOOKS])

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Tells Optuna how it ended: one that was stopped as pruned, which counts by how far it came.

        One that failed with its settings has the worst value, however well it did before.
        """
        asked = self._asked.pop(trial_id)
        if error or not result or VALUE not in result:
            self._study.tell(asked, state=TrialState.FAIL)
        elif result[LOOKS] < self._looks and math.isfinite(result[VALUE]):
            self._study.tell(asked, state=TrialState.PRUNED)
        else:
            self._study.tell(asked, result[VALUE])

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what there is to keep is in the store."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""

    def _sampler(self, number: int) -> BaseSampler:
        """Of one suggestion, so that it does not depend on how many were made since this process began."""
        words = f"{self._tune.seed}/{number}/suggestion".encode()
        seed = int.from_bytes(hashlib.sha256(words).digest()[:4], "big")
        if self._tune.searcher == "random":
            return RandomSampler(seed)
        first = max(1, min(RANDOM_FIRST, self._tune.samples // SHARE_OF_RANDOM))
        return TPESampler(seed=seed, n_startup_trials=first, constant_liar=True)


class Listed(Searcher):
    """Suggests what it was given, in order, each a whole configuration of the trial function."""

    def __init__(self, configurations: list[dict[str, Any]], goal: str) -> None:
        super().__init__(metric=VALUE, mode=goal)
        self._waiting = list(configurations)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next one."""
        finished: Any = Searcher.FINISHED
        return self._waiting.pop(0) if self._waiting else finished

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the list stays."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what there is to keep is in the store."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""
