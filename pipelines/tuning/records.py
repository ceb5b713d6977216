"""What a search keeps in the store: JSON alone, so that any machine can read it and none has to trust it.

    tune/<key>/search.json                        what is searched
    tune/<key>/trials/<NNNN>/trial.json           the settings of one trial, written before it starts
    tune/<key>/trials/<NNNN>/looks/<position>.json     one look at the objective
    tune/<key>/trials/<NNNN>/changes/<N>.json     population-based training: whom it took over, and what then changed
    tune/<key>/trials/<NNNN>/ended.json           how it ended; not there while it has work left
    tune/<key>/trials/<NNNN>/run[-<change>]/      its training run: checkpoints, curves, samples
    tune/<key>/repeats/<NNNN>-<seed>/             the best trials again with other seeds, in the same files
    tune/<key>/leaderboard.json, best.yaml, report.html, …, MANIFEST.json        once it is finished
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, FiniteFloat

from gan_core.block import Config
from gan_core.config import Experiment, experiment_from
from gan_core.store import Store

TRIALS, REPEATS = "trials", "repeats"
Ended = Literal["finished", "stopped", "failed"]


class Look(Config):
    """One look at the objective.

    value: of the objective; None where a metric in it was not finite.  metrics: the curves' row, by name.  seconds: of
    training and looking, over all starts of the trial.
    """

    position: int
    value: FiniteFloat | None
    metrics: dict[str, FiniteFloat]
    seconds: float


class Change(Config):
    """A trial that took over another's weights.  position: the other's, from which it went on.  params: since then."""

    position: int
    donor: int
    params: dict[str, Any]


class TrialEnd(Config):
    """finished: all its images.  stopped: by the scheduler, as it did not promise enough.  failed: problem says why."""

    status: Ended
    problem: str = ""


class TrialSettings(Config):
    """What makes a trial: the values by dotted name, and the seed of its experiment.

    asked: the searcher's own numbers and words for the values, by its own names.
    """

    number: int
    params: dict[str, Any]
    seed: int
    asked: dict[str, float | int | str | bool] = Field(default_factory=dict)


class SearchSettings(Config):
    """What is searched: the experiment with its `tune:` block, as JSON, and the digest of its shards.

    split, n: what looks compare with, and how many examples of it; as many are generated.
    """

    key: str
    experiment: dict[str, Any]
    shards: str
    split: str = "validation"
    n: int = 0


@dataclass(frozen=True)
class Trial:
    """One trial as the store has it.  prefix: of its files.  end: None while it has work left."""

    prefix: str
    settings: TrialSettings
    looks: tuple[Look, ...]
    changes: tuple[Change, ...]
    end: TrialEnd | None

    @property
    def number(self) -> int:
        return self.settings.number

    @property
    def params(self) -> dict[str, Any]:
        """Its values now: after population-based training, those that it ended with."""
        return self.changes[-1].params if self.changes else self.settings.params

    @property
    def images(self) -> int:
        """How far it came, in images seen."""
        return self.looks[-1].position if self.looks else 0

    @property
    def value(self) -> float | None:
        """The objective at its last look; None before the first one."""
        return self.looks[-1].value if self.looks else None

    @property
    def run_prefix(self) -> str:
        """Where its training run goes on."""
        return run_prefix(self.prefix, len(self.changes))


@dataclass(frozen=True)
class Search:
    """A search as the store has it.  trials and repeats by number, then seed."""

    prefix: str
    settings: SearchSettings
    trials: tuple[Trial, ...]
    repeats: tuple[Trial, ...]

    @property
    def experiment(self) -> Experiment:
        return experiment_from(self.settings.experiment)


def run_prefix(trial: str, changes: int) -> str:
    """Where a trial trains after so many changes."""
    return f"{trial}/run-{changes}" if changes else f"{trial}/run"


def trial_prefix(search: str, number: int) -> str:
    return f"{search}/{TRIALS}/{number:04d}"


def repeat_prefix(search: str, number: int, seed: int) -> str:
    return f"{search}/{REPEATS}/{number:04d}-{seed}"


def write(store: Store, path: str, record: Config) -> None:
    """Replaces it."""
    store.write(path, record.model_dump_json(indent=1).encode())


def read_search(store: Store, prefix: str, known: Mapping[str, Trial] | None = None) -> Search | None:
    """All that is known of a search; None where none was begun.

    known: trials by prefix, of which those that had ended are not read again.
    """
    try:
        settings = SearchSettings.model_validate_json(store.read(f"{prefix}/search.json"))
    except FileNotFoundError:
        return None
    trials, repeats = (tuple(_trials(store, f"{prefix}/{folder}", known or {})) for folder in (TRIALS, REPEATS))
    return Search(prefix, settings, trials, repeats)


def read_trial(store: Store, prefix: str) -> Trial | None:
    """One trial; None where it was not begun."""
    try:
        settings = TrialSettings.model_validate_json(store.read(f"{prefix}/trial.json"))
    except FileNotFoundError:
        return None
    looks = [Look.model_validate_json(data) for data in _all(store, f"{prefix}/looks")]
    changes = [Change.model_validate_json(data) for data in _all(store, f"{prefix}/changes")]
    return Trial(prefix, settings, tuple(looks), tuple(changes), read_end(store, prefix))


def read_end(store: Store, prefix: str) -> TrialEnd | None:
    """How a trial ended; None while it has work left."""
    try:
        return TrialEnd.model_validate_json(store.read(f"{prefix}/ended.json"))
    except FileNotFoundError:
        return None


def _trials(store: Store, folder: str, known: Mapping[str, Trial]) -> Iterator[Trial]:
    for name in store.names(folder):
        trial = known.get(f"{folder}/{name}")
        if trial is None or trial.end is None:
            trial = read_trial(store, f"{folder}/{name}")
        if trial is not None:
            yield trial


def _all(store: Store, folder: str) -> Iterator[bytes]:
    for name in store.names(folder):
        yield store.read(f"{folder}/{name}")
