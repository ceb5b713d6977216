"""One search from where it stands to its results: trials, the best ones again with other seeds, what it says."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gan_core.config import Experiment
from gan_core.data.shards import open_shards
from gan_core.errors import ConfigError, StoreError
from gan_core.options.schedule import duration
from gan_core.store import Store
from gan_core.train.measure import FEWEST, SAMPLES_BYTES
from gan_core.train.patience import PatientStore
from pipelines.cluster import connect
from pipelines.handles import Features, Shards
from pipelines.interrupt import StopSignals
from pipelines.profile import Profile
from pipelines.report_names import number
from pipelines.tuning.budget import Budget
from pipelines.tuning.leaderboard import leaderboard
from pipelines.tuning.records import (
    Search,
    SearchSettings,
    Trial,
    TrialSettings,
    read_search,
    read_trial,
    repeat_prefix,
    write,
)
from pipelines.tuning.results import write_results
from pipelines.tuning.setting import PATIENCE_S, Setting
from pipelines.tuning.settings import lengths_of, looks_in_all, tune_of
from pipelines.tuning.words import objective_words

TELL_EVERY_S = 2.0
GOES_ON = "the same command goes on: ended trials are kept, the others go on from their checkpoints"


@dataclass
class Conductor:
    """Searches an experiment on a store.  tell: is given how far it is, in words, now and then."""

    store: Store
    experiment: Experiment
    profile: Profile
    features: Callable[[Shards], Features]
    tell: Callable[[str], None]
    _told: float = field(default=0.0)
    _known: dict[str, Trial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = PatientStore(self.store, seconds=PATIENCE_S)

    def conduct(self, key: str, prefix: str, shards: Shards) -> None:
        """To the end.  Errors as of `drive`; ConfigError where no trial came to a look."""
        features = self.features(shards)
        connect(self.profile, tune_of(self.experiment).workers)
        split, n = compared_with(self.store, self.experiment, shards)
        settings = SearchSettings(
            key=key, experiment=self.experiment.as_json(), shards=shards.digest, split=split, n=n)
        write(self.store, f"{prefix}/search.json", settings)
        with StopSignals(GOES_ON) as signals:
            self._trials(prefix, shards, features, signals)
            search = self._found(prefix)
            refuse_without_value(search)
            self._repeats(search, shards, features, signals)
        write_results(self.store, self._found(prefix), parents=(shards.parent(), features.parent()))

    def _trials(self, prefix: str, shards: Shards, features: Features, signals: StopSignals) -> None:
        from pipelines.tuning.drive import Batch, drive  # imports Tune, once Ray is connected
        from pipelines.tuning.schedulers import scheduler_of
        from pipelines.tuning.searcher import Recorded

        block, looks = tune_of(self.experiment), looks_in_all(self.experiment)
        limit = duration(block.time_budget).total_seconds() if block.time_budget else None
        budget = Budget.of(self.store, prefix, limit)
        batch = Batch(
            Recorded(self.store, prefix, self.experiment, block, looks), scheduler_of(self.experiment), block.samples,
            budget.left,
        )

        def heard() -> None:
            budget.note()
            self._tell(prefix)

        recorder = drive(self.store, self._setting(prefix, shards, features), batch, self.profile, signals, heard)
        budget.note(now=True)
        if recorder.out_of_time:
            for trial in self._found(prefix).trials:
                if trial.end is None:
                    recorder.end(trial.prefix, finished=trial.images >= lengths_of(self.experiment).images)

    def _repeats(self, search: Search, shards: Shards, features: Features, signals: StopSignals) -> None:
        """The best trials with other seeds; nothing where all have been."""
        from ray.tune.schedulers import FIFOScheduler

        from pipelines.tuning.drive import Batch, drive
        from pipelines.tuning.searcher import Listed

        wanted, block = self._again(search), tune_of(self.experiment)
        if not wanted:
            return
        batch = Batch(Listed(wanted, block.objective.goal), FIFOScheduler(), len(wanted))
        drive(self.store, self._setting(search.prefix, shards, features), batch, self.profile, signals,
              lambda: self._tell(search.prefix))

    def _again(self, search: Search) -> list[dict[str, object]]:
        """What the trial function is given for each repeat, its settings in the store."""
        block = tune_of(self.experiment)
        finished = [row for row in leaderboard(search) if row.status == "finished" and row.value is not None]
        configurations: list[dict[str, object]] = []
        for row in finished[: block.repeats.top]:
            for seed in range(self.experiment.seed + 1, self.experiment.seed + 1 + block.repeats.seeds):
                at = repeat_prefix(search.prefix, row.number, seed)
                if read_trial(self.store, at) is None:
                    write(self.store, f"{at}/trial.json",
                          TrialSettings(number=row.number, params=row.params, seed=seed))
                configurations.append({"at": at, "number": row.number, "changes": 0, "params": row.params})
        return configurations

    def _setting(self, prefix: str, shards: Shards, features: Features) -> Setting:
        return Setting(
            store=self.store.url, search=prefix, experiment=self.experiment.as_json(), shards=shards.prefix,
            features=features.prefix, shards_digest=shards.digest, parents=(shards.parent().model_dump(),),
            start=uuid.uuid4().hex, threads=self.profile.cpus_per_worker,
            last_look_only=tune_of(self.experiment).scheduler == "pbt", profile=self.profile.model_dump(mode="json"),
        )

    def _found(self, prefix: str, known: Mapping[str, Trial] | None = None) -> Search:
        search = read_search(self.store, prefix, known)
        if search is None:
            raise StoreError(f"{self.store.uri(prefix)}/search.json is gone; was the search removed meanwhile?")
        return search

    def _tell(self, prefix: str) -> None:
        """How far it is, from time to time; Tune waits meanwhile, so that what has ended is not read again."""
        if time.monotonic() - self._told < TELL_EVERY_S:
            return
        search = self._found(prefix, self._known)
        self._known = {trial.prefix: trial for trial in (*search.trials, *search.repeats)}
        self.tell(how_far(search))
        self._told = time.monotonic()


def refuse_without_value(search: Search) -> None:
    """ConfigError where no trial has a number to be compared by."""
    if any(row.value is not None for row in leaderboard(search)):
        return
    block = tune_of(search.experiment)
    if block.time_budget and not any(trial.looks for trial in search.trials):
        raise ConfigError(f"tune.time_budget={block.time_budget}: not one trial came to a look at the objective; a "
                          "longer one works, or a smaller tune.look_every")
    raise ConfigError(f"tune.objective: {objective_words(block)} was finite at the last look of no trial; smaller "
                      "learning rates in tune.space work, or another metric such as fd_domain")


def compared_with(store: Store, experiment: Experiment, shards: Shards) -> tuple[str, int]:
    """The split that looks compare with, and of how many examples, as gan_core.train.measure takes them.

    The training split where the data set has no validation examples; the test split decides nothing.
    """
    data = open_shards(store, shards.prefix)
    held_out = data.splits.get("validation")
    split = "validation" if held_out is not None and len(held_out) >= FEWEST else "train"
    most = max(FEWEST, min(tune_of(experiment).look_samples, SAMPLES_BYTES // math.prod(data.shape)))
    return split, min(most, len(data.split(split)))


def how_far(search: Search) -> str:
    """'7 of 32 trials, best fd_domain 12.3 (trial 4)'."""
    block = tune_of(search.experiment)
    said = f"{_ended(search.trials)} of {block.samples} trials"
    if search.repeats:
        said = f"{_ended(search.repeats)} of {len(search.repeats)} repeats"
    best = next((row for row in leaderboard(search) if row.value is not None), None)
    if best is None or best.value is None:
        return said
    return f"{said}, best {objective_words(block)} {number(best.value)} (trial {best.number})"


def _ended(trials: Sequence[Trial]) -> int:
    return sum(1 for trial in trials if trial.end is not None)
