"""Which state a run publishes and keeps: the last, the best by a metric, or where a rule ended it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from gan_core.config import Experiment
from gan_core.data.augment import refuse_other_kinds
from gan_core.errors import ConfigError
from gan_core.manifest import read_manifest
from gan_core.store import Store
from tests.train.runs import RUN, Scripted, curves, equal, finished, last_state, place, stop_at, train

Make = Callable[..., Experiment]
BY_LOSS = {"best_by": {"metric": "loss/generator", "goal": "min"}, "checkpoint_every": 64}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def rows(store: Store) -> list[dict[str, Any]]:
    return [json.loads(line) for line in curves(store).splitlines()]


@pytest.mark.parametrize("goal", ["min", "max"])
def test_the_best_checkpoint_is_kept_and_its_weights_are_published(
    goal: str, store: Store, digits_store: Store, experiment: Make
) -> None:
    by = {"metric": "loss/generator", "goal": goal}
    assert train(store, digits_store, experiment(train=BY_LOSS | {"best_by": by}))
    best = (min if goal == "min" else max)(rows(store), key=lambda row: row["loss/generator"])
    position = int(best["position"])
    assert finished(store).facts["best"] == {"position": position, "value": best["loss/generator"]}
    assert finished(store).facts["weights_of"] == position
    assert finished(store).facts["position"] == 512
    kept = {int(name.partition("-")[0]) for name in place(store).checkpoints()}
    assert kept == {position, 448, 512}
    name = place(store).name_at(position)
    assert name is not None
    saved = place(store).load(name)
    assert saved is not None
    published = load_file(store.local_path(f"{RUN}/generator.safetensors"))
    assert equal(published, saved["averages"]["generator"])
    assert equal(published, last_state(store)["averages"]["generator"]) == (position == 512)


def test_a_resumed_run_finds_the_same_best(
    store: Store, tmp_path: Path, digits_store: Store, experiment: Make
) -> None:
    whole = Store(tmp_path / "whole")
    assert train(whole, digits_store, experiment(train=BY_LOSS))
    assert not train(store, digits_store, experiment(train=BY_LOSS), stop_at(320))
    assert train(store, digits_store, experiment(train=BY_LOSS))
    assert finished(store).facts["best"] == finished(whole).facts["best"]
    assert finished(store).digest == finished(whole).digest


def test_a_metric_that_the_curves_have_not_got_is_refused_with_those_they_have(
    store: Store, digits_store: Store, experiment: Make
) -> None:
    unknown = {"best_by": {"metric": "los/generator"}, "sample_every": 128}
    with pytest.raises(ConfigError, match=r"best_by\.metric=los/generator: .* they have: .*loss/generator"):
        train(store, digits_store, experiment(train=unknown))


def test_one_checkpoint_of_each_so_many_images_stays(store: Store, digits_store: Store, experiment: Make) -> None:
    assert train(store, digits_store, experiment(train={"checkpoint_every": 64, "keep_every": 200}))
    kept = [int(name.partition("-")[0]) for name in place(store).checkpoints()]
    assert kept == [256, 448, 512]  # the first at or after 200 and 400, and the newest two


def test_a_rule_ends_a_run_which_is_then_finished_and_a_resume_ends_it_there_too(
    store: Store, tmp_path: Path, digits_store: Store, experiment: Make
) -> None:
    target = {"stop_when": [{"rule": "target", "metric": "loss/discriminator", "goal": "max", "value": 0.0}],
              "report_every": 192}
    reporter = Scripted()
    assert train(store, digits_store, experiment(train=target), reporter)
    assert finished(store).facts["position"] == 192
    assert "loss/discriminator" in finished(store).facts["ended"]
    assert [note for note in reporter.notes if note.startswith("ended after 192 images: ")]
    parted = Store(tmp_path / "parted")
    assert not train(parted, digits_store, experiment(train=target), stop_at(128))
    assert read_manifest(parted, RUN) is None
    assert train(parted, digits_store, experiment(train=target))
    assert finished(parted).digest == finished(store).digest


def test_what_cannot_be_augmented_is_refused(experiment: Make) -> None:
    augment = experiment(train={"augment": {"flip": 0.5}}).train.augment
    refuse_other_kinds(augment, "image")
    refuse_other_kinds(experiment().train.augment, "audio")
    with pytest.raises(ConfigError, match=r"train\.augment\.flip=0\.5 is done to images, .* holds audio"):
        refuse_other_kinds(augment, "audio")
