"""`gan evaluate`: prepares and trains where that is not done, measures the generator, and publishes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gan_core.store import Store
from pipelines.first_stages import do_stages, stages_to
from pipelines.profile import Profile
from pipelines.run import Opened, open_to_run
from pipelines.show import result_table
from pipelines.train_run import TrainOutcome

LAST = "evaluate"
BY = "gan evaluate"


@dataclass(frozen=True)
class EvaluateOutcome(TrainOutcome):
    """What became of preparation, training and evaluation.  metrics: by name, as metrics.json has them."""

    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def scores_uri(self) -> str | None:
        """Where the figures are; None when there are none."""
        return self.uri_of(LAST)

    def as_json(self) -> dict[str, Any]:
        """{"stages": [...], "run": uri or null, "scores": uri or null, "metrics": {name: {"value", ...}}}."""
        return {**super().as_json(), "scores": self.scores_uri, "metrics": self.metrics}

    def scores(self, store: Store) -> str | None:
        return None if self.scores_uri is None else self.scores_uri.removeprefix(f"{store.url}/")

    def made(self, store: Store) -> tuple[tuple[str, str, str], ...]:
        prefix = self.scores(store)
        shown = () if prefix is None else (("sample grid", prefix, "samples.png"), ("report", prefix, "report.html"))
        return (*super().made(store), *shown)


def evaluate_experiment(
    path: str, store: str, overrides: Iterable[str], profile: Profile, remake: Iterable[str]
) -> EvaluateOutcome:
    """One run of the first three stages, shown as it goes.  ConfigError before anything starts; later errors are in the
    outcome.
    """
    return evaluate_opened(open_to_run(path, store, overrides, profile, remake, stages_to(LAST)))


def evaluate_opened(opened: Opened) -> EvaluateOutcome:
    """The same of what is open to run."""
    results, error = do_stages(opened, LAST, BY)
    outcome = EvaluateOutcome(results, None, error)
    prefix = outcome.scores(opened.store)
    if prefix is not None:
        metrics = json.loads(opened.store.read(f"{prefix}/metrics.json"))
        outcome = EvaluateOutcome(results, None, error, metrics)
    result_table(opened.store, opened.experiment, outcome)
    return outcome
