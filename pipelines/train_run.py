"""`gan train`: prepares the data where it is not there, trains, and stops; `gan run` finds what it made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gan_core.store import Store
from pipelines.first_stages import do_stages
from pipelines.outcome import Outcome
from pipelines.profile import Profile
from pipelines.run import Opened, open_to_run
from pipelines.show import result_table

LAST = "train"
BY = "gan train"


@dataclass(frozen=True)
class TrainOutcome(Outcome):
    """What became of preparation and training."""

    @property
    def run_uri(self) -> str | None:
        """Where the finished run is; None when it is not finished."""
        return self.uri_of(LAST)

    def uri_of(self, stage: str) -> str | None:
        """Where a stage's result is; None when it is not finished."""
        ended = [result for result in self.results if result.name == stage and result.done]
        return ended[-1].uri if ended else None

    def as_json(self) -> dict[str, Any]:
        """{"stages": [{"name", "status", "seconds", "uri", "trained"?}], "run": uri}."""
        return {"stages": self.stages(), "run": self.run_uri}

    def made(self, store: Store) -> tuple[tuple[str, str, str], ...]:
        if self.run_uri is None:
            return ()
        prefix = self.run_uri.removeprefix(f"{store.url}/")
        return ("generator", prefix, "generator.safetensors"), ("curves", prefix, "metrics.jsonl")


def train_experiment(
    path: str, store: str, overrides: Iterable[str], profile: Profile, remake: Iterable[str]
) -> TrainOutcome:
    """One run of the first two stages, shown as it goes.  ConfigError before anything starts; later errors are in the
    outcome.
    """
    return train_opened(open_to_run(path, store, overrides, profile, remake))


def train_opened(opened: Opened) -> TrainOutcome:
    """The same of what is open to run."""
    results, error = do_stages(opened, LAST, BY)
    outcome = TrainOutcome(results, None, error)
    result_table(opened.store, opened.experiment, outcome)
    return outcome
