"""What all trials of one start of a search have in common."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gan_core.config import Experiment, experiment_from
from gan_core.options.tune import Objective
from pipelines.tuning.settings import tune_of

PATIENCE_S = 300.0  # of a search with its store: what is written is small, and waits while trials train


@dataclass(frozen=True)
class Setting:
    """What all trials of one start of a search have in common.

    store: its URL.  search: its prefix.  shards and features: prefixes.  parents: what a run
    is made from, as plain values.  start: names this start of the search.
    threads: of a training process.  last_look_only: tells Tune of a trial's last look alone, where it begins again.
    profile: of whoever searches.  slots: Ray's handle on the room for training with several workers; None where Tune
    sees to it.
    """

    store: str
    search: str
    experiment: dict[str, Any]
    shards: str
    features: str
    shards_digest: str
    parents: tuple[dict[str, Any], ...]
    start: str
    threads: int
    last_look_only: bool
    profile: dict[str, Any]
    slots: Any = None

    @cached_property
    def searched(self) -> Experiment:
        return experiment_from(self.experiment)

    @property
    def objective(self) -> Objective:
        return tune_of(self.searched).objective
