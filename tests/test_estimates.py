"""How long a plan says that it will take, from records of past runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gan_core.config import Experiment, load_experiment
from gan_core.manifest import MANIFEST
from gan_core.store import Store
from pipelines.estimates import Estimate, estimate, estimates, total
from pipelines.plan import Action, Step
from pipelines.records import RunRecord, StageRecord, StageResult, write_record
from pipelines.show import estimated

NOTHING = StageRecord(key="", config={}, inputs={}, code={})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def experiment(*overrides: str) -> Experiment:
    return load_experiment("configs/digits.yaml", overrides)


def steps(**actions: Action) -> list[Step]:
    return [Step(stage, action, "", NOTHING, f"runs/{stage}") for stage, action in actions.items()]


def ran(store: Store, number: int, results: Sequence[tuple[str, str, float, int | None]], *overrides: str) -> None:
    """A record of a run: (stage, status, seconds, images trained) of each of its stages."""
    record = RunRecord(started="then", experiment=experiment(*overrides).as_json(), results=tuple(
        StageResult(name=name, status=status, seconds=seconds, uri="", trained=None if images is None else (0, images))
        for name, status, seconds, images in results))
    write_record(store, f"experiments/digits/202601{number:02d}T000000.000000Z.json", record)


def of(store: Store, action: Action, stage: str = "train", *overrides: str) -> Estimate:
    return estimates(store, experiment(*overrides), steps(**{stage: action}))[stage]


def test_what_is_there_takes_no_time_and_what_never_ran_is_unknown(store: Store) -> None:
    found = estimates(store, experiment(), steps(prepare=Action.REUSE, train=Action.RUN))
    assert found == {"prepare": Estimate(0.0), "train": Estimate(None)}
    assert total(found).seconds is None
    assert estimate(store, experiment(), steps(prepare=Action.REUSE, train=Action.RUN)) == {
        "prepare": 0.0, "train": None}
    assert estimated(found["train"]) == "unknown (no past run)"


def test_a_stage_takes_the_median_of_the_runs_that_did_it(store: Store) -> None:
    for number, (status, seconds) in enumerate([("RUN", 9.0), ("RUN", 2.0), ("RUN", 4.0), ("REUSED", 0.0),
                                                ("FAILED", 60.0)], 1):
        ran(store, number, [("evaluate", status, seconds, None)])
    assert of(store, Action.RUN, "evaluate") == Estimate(4.0, 3)
    assert estimated(of(store, Action.DEPENDS, "evaluate")) == "at most 4 s (from 3 runs)"


def test_only_the_newest_runs_count(store: Store) -> None:
    for number in range(1, 9):
        ran(store, number, [("evaluate", "RUN", float(number), None)])
    assert of(store, Action.RUN, "evaluate") == Estimate(6.0, 5)


def test_trainings_of_two_lengths_tell_start_up_and_speed_apart(store: Store) -> None:
    for number, images in enumerate((10_000, 30_000), 1):
        ran(store, number, [("train", "RUN", 20 + images / 1_000, images)])
    found = of(store, Action.RUN, "train", "train.images=100000")
    assert (found.seconds, found.runs, found.at_most) == (pytest.approx(120), 2, False)


@pytest.mark.parametrize(("images", "seconds", "at_most"), [(102_400, 50.0, False), (204_800, 100.0, True),
                                                            (10_240, 50.0, True)])
def test_trainings_of_one_length_give_a_bound_for_another(
    store: Store, images: int, seconds: float, at_most: bool
) -> None:
    ran(store, 1, [("train", "RUN", 50.0, 102_400)])
    assert of(store, Action.RUN, "train", f"train.images={images}") == Estimate(seconds, 1, at_most)


def test_a_training_that_was_interrupted_goes_on_with_the_images_that_are_left(store: Store) -> None:
    for number, images in enumerate((10_000, 30_000), 1):
        ran(store, number, [("train", "STOPPED" if number == 1 else "RUN", 20 + images / 1_000, images)])
    store.write(f"runs/train/checkpoints/{90_000:012d}-0001/{MANIFEST}", b"{}")
    assert of(store, Action.RESUME, "train", "train.images=100000").seconds == pytest.approx(30)


@pytest.mark.parametrize(("setting", "runs"), [
    ("model.width=16", 0), ("train.batch=64", 0), ("train.workers=1", 0), ("model.critic_steps=2", 0),
    ("model.generator_optimizer.learning_rate=0.1", 1), ("seed=3", 1),
])
def test_only_trainings_of_the_same_sizes_count(store: Store, setting: str, runs: int) -> None:
    ran(store, 1, [("train", "RUN", 50.0, 102_400)])
    assert of(store, Action.RUN, "train", setting).runs == runs


def test_a_record_that_cannot_be_read_tells_nothing(store: Store) -> None:
    ran(store, 1, [("evaluate", "RUN", 3.0, None)])
    store.write("experiments/digits/20260201T000000.000000Z.json", b"{")
    assert of(store, Action.RUN, "evaluate") == Estimate(3.0, 1)


@pytest.mark.parametrize(("seconds", "words"), [(3.4, "3 s"), (119.0, "119 s"), (600.0, "10 min"),
                                                (9_000.0, "2 h 30 min")])
def test_lengths_are_told_in_the_unit_that_fits(seconds: float, words: str) -> None:
    found: Any = estimated(Estimate(seconds, 1))
    assert found == f"{words} (from 1 run)"
