"""The program of a job, in this process: the stage is done as ordered, or one line says why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gan_core.config import Experiment
from gan_core.manifest import read_manifest
from gan_core.store import Store
from pipelines.plan import Planner, Step
from pipelines.profile import Profile
from pipelines.records import read_record
from pipelines.stage_job import main
from pipelines.stage_order import Order, code_here, python_here, read_outcome, record_of, write_order

PROFILE = Profile.model_validate({"backend": "ray-jobs", "ray": {"address": "http://127.0.0.1:8265"}})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def step(store: Store, experiment: Callable[..., Experiment]) -> Step:
    return Planner(store, experiment()).step("prepare", {})


def ordered(experiment: Experiment, step: Step, **others: Any) -> Order:
    facts = {"record": step.record, "python": python_here(), "code": code_here()} | others
    return Order(experiment=experiment.as_json(), profile=PROFILE.in_a_job(), stage=step.stage, remake=False,
                 prefixes={}, digests={}, **facts)


def run(store: Store, order: Order) -> int:
    write_order(store, 1, order)
    return main(["--store", store.url, f"jobs/{order.name}/1"])


def test_a_job_makes_what_was_ordered_and_says_so_in_the_store(store, step, experiment):
    order = ordered(experiment(), step)
    assert run(store, order) == 0
    manifest, outcome = read_manifest(store, step.prefix), read_outcome(store, order.name, 1)
    assert manifest is not None
    assert manifest.key == step.key
    assert outcome is not None
    assert outcome.error == ""
    record = read_record(store, record_of(order.name, 1))
    assert record is not None
    assert [result.status for result in record.results] == ["RUN"]


@pytest.mark.parametrize(("changed", "words"), [
    ({"code": {"pipelines.stages.prepare": "other"}}, "the code differs, in gan_core"),
    ({"inputs": {"source": "other"}}, "the source of stage prepare differs on the cluster's machines"),
])
def test_a_cluster_that_would_make_something_else_says_what_differs(store, step, experiment, capsys, changed, words):
    record = step.record.model_copy(update={"key": "0" * 64, **changed})
    order = ordered(experiment(), step, record=record, code="0.9 abc")
    assert run(store, order) == 2
    outcome = read_outcome(store, order.name, 1)
    assert outcome is not None
    assert outcome.error == "ConfigError"
    assert outcome.message.startswith(words)
    if "code" in changed:
        assert "0.9 abc" in outcome.message
        assert code_here() in outcome.message
    assert capsys.readouterr().err.splitlines()[-1] == f"gan: ended: ConfigError: {outcome.message}"
    assert read_manifest(store, step.prefix) is None


def test_another_python_is_refused_before_anything_is_made(store, step, experiment):
    order = ordered(experiment(), step, python="3.9")
    assert run(store, order) == 2
    outcome = read_outcome(store, order.name, 1)
    assert outcome is not None
    assert "Python 3.9 with" in outcome.message
    assert outcome.message.endswith("the same Python on both works")


def test_a_store_that_the_cluster_does_not_see_is_named(tmp_path, capsys):
    assert main(["--store", f"file://{tmp_path}/elsewhere", "jobs/gan-digits-train-0/1"]) == 1
    assert "s3://bucket/prefix, works" in capsys.readouterr().err
