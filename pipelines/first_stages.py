"""The first stages of a run and no more, without Prefect: of `gan train` and `gan evaluate`; `gan run` finds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gan_core.errors import GanError
from pipelines.attempt import attempt
from pipelines.execute import Run
from pipelines.keys import STAGES
from pipelines.plan import Action, Step
from pipelines.progress import following
from pipelines.records import StageResult
from pipelines.retries import Retries
from pipelines.run import Opened, nothing_new, ray_beside, refuse_unfit
from pipelines.show import console

DONE = {"train": "trained", "evaluate": "evaluated"}
T = TypeVar("T")
Ended = tuple[tuple[StageResult, ...], GanError | None]


def stages_to(last: str) -> tuple[str, ...]:
    """The stages up to and with one."""
    return STAGES[: STAGES.index(last) + 1]


def do_stages(opened: Opened, last: str, by: str) -> Ended:
    """Does what is missing of the stages up to `last`, train or evaluate: each one's result, and why it did not end
    well.

    by: the command that a record names.
    """
    steps = [step for step in opened.planner.plan() if step.stage in stages_to(last)]
    if all(step.action is Action.REUSE for step in steps):
        results = nothing_new(opened, steps, by)
        console().print(f"nothing to do: {opened.experiment.name} is {DONE[last]} already")
        return results, None
    return _attempted(opened, steps, by)


def _attempted(opened: Opened, steps: list[Step], by: str) -> Ended:
    store, experiment = opened.store, opened.experiment
    trains = any(step.stage == "train" and step.action is not Action.REUSE for step in steps)
    with (
        attempt(store, experiment, opened.profile, opened.planner.remake, by=by) as made,
        ray_beside(opened, trains),
        following(store, experiment, made.path, "starting Ray", made.log),
    ):
        refuse_unfit(opened, "train" if trains else "")
        run = Run.of(
            experiment.as_json(),
            store.url,
            opened.profile.model_dump(mode="json"),
            remake=tuple(opened.planner.remake),
            path=made.path,
        )
        shards = _retried(run, "prepare", run.prepare)
        trained = _retried(run, "train", lambda: run.train(shards))
        if steps[-1].stage == "evaluate":
            _retried(run, "evaluate", lambda: run.evaluate(shards, trained))
    return made.results, made.error


def _retried(run: Run, stage: str, work: Callable[[], T]) -> T:
    return Retries.of(run.profile, stage, lambda error: run.waits(stage, error))(work)
