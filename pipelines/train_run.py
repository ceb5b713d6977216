"""`gan train`: prepares the data where it is not there, trains, and stops; `gan run` finds what it made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from gan_core.store import Store
from pipelines.attempt import attempt
from pipelines.execute import Run
from pipelines.plan import Action, Step
from pipelines.progress import following
from pipelines.retries import Retries
from pipelines.run import Opened, Outcome, nothing_new, open_to_run, ray_beside
from pipelines.show import console, result_table

STAGES = ("prepare", "train")
T = TypeVar("T")


@dataclass(frozen=True)
class TrainOutcome(Outcome):
    """What became of preparation and training."""

    @property
    def run_uri(self) -> str | None:
        """Where the finished run is; None when it is not finished."""
        ended = [result for result in self.results if result.name == "train" and result.done]
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
    path: str, store: str, overrides: Iterable[str], profile: str | None, remake: Iterable[str]
) -> TrainOutcome:
    """One run of the first two stages, shown as it goes.  ConfigError before anything starts; later errors are in the
    outcome.
    """
    return train_opened(open_to_run(path, store, overrides, profile, remake), by="gan train")


def train_opened(opened: Opened, by: str) -> TrainOutcome:
    """The same of what is open to run.  by: the command that a record names."""
    steps = [step for step in opened.planner.plan() if step.stage in STAGES]
    if all(step.action is Action.REUSE for step in steps):
        outcome = TrainOutcome(nothing_new(opened, steps, by), None, None)
        console().print(f"nothing to do: {opened.experiment.name} is trained already")
    else:
        outcome = _train(opened, steps, by)
    result_table(opened.store, opened.experiment, outcome)
    return outcome


def _train(opened: Opened, steps: list[Step], by: str) -> TrainOutcome:
    store, experiment = opened.store, opened.experiment
    trains = steps[-1].action is not Action.REUSE
    with (
        attempt(store, experiment, opened.profile, opened.planner.remake, by=by) as made,
        ray_beside(opened, trains),
        following(store, experiment, made.path, "starting Ray", made.log),
    ):
        run = Run.of(
            experiment.as_json(),
            store.url,
            opened.profile.model_dump(mode="json"),
            remake=tuple(opened.planner.remake),
            path=made.path,
        )
        shards = _retried(run, "prepare", run.prepare)
        _retried(run, "train", lambda: run.train(shards))
    return TrainOutcome(made.results, None, made.error)


def _retried(run: Run, stage: str, work: Callable[[], T]) -> T:
    return Retries.of(run.profile, stage, lambda: run.waits(stage))(work)
