"""How long the stages of a plan may take, from what the same stages took in past runs of this store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import linear_regression, median
from typing import Any

from pydantic import ValidationError

from gan_core.config import Experiment
from gan_core.store import Store
from pipelines.plan import Action, Step, newest_checkpoint
from pipelines.records import RECORDS_READ, RunRecord, StageResult

NEWEST = 5  # runs that an estimate is from, at most
COSTS = ("batch", "workers", "accumulate", "precision", "channels_last", "compile")  # of train: what an image takes


@dataclass(frozen=True)
class Estimate:
    """seconds: None where no past run tells.  runs: how many do.  at_most: it may take
    less: its result may be there, or the start-up is not known apart."""

    seconds: float | None
    runs: int = 0
    at_most: bool = False


def estimate(store: Store, experiment: Experiment, steps: Sequence[Step]) -> dict[str, float | None]:
    """Seconds by stage; None where no past run tells."""
    return {stage: found.seconds for stage, found in estimates(store, experiment, steps).items()}


def estimates(store: Store, experiment: Experiment, steps: Sequence[Step]) -> dict[str, Estimate]:
    """By stage: what it may take, and from how many past runs of the experiment that is known.

    A training run takes the time to start up and a time for each image that is left, as trainings of networks and
    batches of the same size did; another stage the median of the times that it took.  One that waits for another is
    estimated as if it ran.
    """
    if all(step.action is Action.REUSE for step in steps):
        return {step.stage: Estimate(0.0) for step in steps}
    past = list(_past_runs(store, experiment.name))
    return {step.stage: _of_step(store, experiment, step, past) for step in steps}


def total(found: Mapping[str, Estimate]) -> Estimate:
    """All stages together; of unknown length where one is."""
    known = [one.seconds for one in found.values() if one.seconds is not None]
    seconds = sum(known) if len(known) == len(found) else None
    return Estimate(seconds, max((one.runs for one in found.values()), default=0),
                    any(one.at_most for one in found.values()))


def _of_step(store: Store, experiment: Experiment, step: Step, past: Sequence[RunRecord]) -> Estimate:
    if step.action is Action.REUSE:
        return Estimate(0.0)
    at_most = step.action is Action.DEPENDS
    if step.stage == "train":
        done = newest_checkpoint(store, step.prefix) if step.action is Action.RESUME else None
        return _of_training(_trainings(experiment, past)[:NEWEST], experiment.train.images - (done or 0), at_most)
    took = [result.seconds for record in past for result in record.results
            if result.name == step.stage and result.status == "RUN"][:NEWEST]
    return Estimate(median(took) if took else None, len(took), at_most)


def _past_runs(store: Store, name: str) -> Iterator[RunRecord]:
    """The newest records of an experiment, newest first; one that cannot be read tells nothing."""
    for file in sorted(store.names(f"experiments/{name}"), reverse=True)[:RECORDS_READ]:
        try:
            yield RunRecord.model_validate_json(store.read(f"experiments/{name}/{file}"))
        except (ValidationError, FileNotFoundError):
            continue


def _trainings(experiment: Experiment, past: Sequence[RunRecord]) -> list[tuple[int, float]]:
    """(images, seconds) of trainings that cost the same an image."""
    costs = _costs(experiment.as_json())
    return [(images, result.seconds) for record in past if _costs(record.experiment) == costs
            for result in record.results if (images := _trained(result))]


def _trained(result: StageResult) -> int:
    """Images that a stage trained for, unless it failed: what failed may have waited for long before."""
    begun, ended = result.trained or (0, 0)
    return 0 if result.status == "FAILED" else max(0, ended - begun)


def _costs(experiment: Mapping[str, Any]) -> Any:
    """What the time of an image depends on.  Fractions are learning rates and weights, which take no time."""
    train = experiment.get("train", {})
    blocks = {block: experiment.get(block) for block in ("data", "prepare", "model")}
    return _without_fractions({**blocks, "train": {name: train.get(name) for name in COSTS}})


def _without_fractions(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_fractions(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_fractions(inner) for inner in value]
    return "a fraction" if isinstance(value, float) else value


def _of_training(trainings: Sequence[tuple[int, float]], images: int, at_most: bool) -> Estimate:
    """The line through what was seen: its height at 0 is the start-up.

    Runs of one length do not tell it; a longer one takes at most as many times their time, a shorter one their time.
    """
    if not trainings:
        return Estimate(None, 0, at_most)
    runs = len(trainings)
    if len({seen for seen, _ in trainings}) > 1:
        an_image, start_up = linear_regression(*zip(*trainings, strict=True))
        if an_image > 0 and start_up >= 0:
            return Estimate(float(start_up + an_image * images), runs, at_most)
    seconds = median(took * max(1.0, images / seen) for seen, took in trainings)
    return Estimate(seconds, runs, at_most or any(seen != images for seen, _ in trainings))
