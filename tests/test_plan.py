"""What a plan says, on stores in every state; stages stand in as small artefacts with the right keys."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from gan_core.config import Experiment, load_experiment
from gan_core.manifest import MANIFEST, artefact, read_manifest
from gan_core.store import Store
from pipelines.champion import as_published, standard
from pipelines.cli import main
from pipelines.keys import STAGES, features_key, features_prefix
from pipelines.plan import Planner
from pipelines.records import RunRecord, write_record
from pipelines.stages.publish import publish
from tests.compared import OF_NOBODY

DIGITS = "configs/digits.yaml"
FILES = {
    "prepare": {"train-00000.arrow": b"shards"},
    "train": {"generator.json": json.dumps(OF_NOBODY).encode(),
              "generator.safetensors": b"weights", "networks.safetensors": b"raw"},
    "evaluate": {"metrics.json": b'{"coverage_pixels": {"value": 0.95}}', "samples.png": b"png",
                 "report.html": b"html", "report.json": b"{}"},
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def experiment(*overrides: str) -> Experiment:
    return load_experiment(DIGITS, ["publish.gate={}", *overrides])


def actions(store: Store, *overrides: str, remake: tuple[str, ...] = ()) -> list[str]:
    return [str(step.action) for step in Planner(store, experiment(*overrides), frozenset(remake)).plan()]


def reasons(store: Store, *overrides: str) -> dict[str, str]:
    return {step.stage: step.reason for step in Planner(store, experiment(*overrides)).plan()}


def finish(store: Store, *stages: str) -> None:
    """Makes the results of the stages and the record of the run that made them."""
    planner, known, records = Planner(store, experiment()), {}, {}
    for stage in stages:
        step = planner.step(stage, known)
        records[stage] = step.record
        if stage == "publish":
            run, scores = planner.step("train", known).prefix, planner.step("evaluate", known).prefix
            publish(store, experiment(), key=step.key, run_prefix=run, scores_prefix=scores, parents=(),
                    beside=partial(standard, store, "digits", score=as_published))
            continue
        with artefact(store, step.prefix, kind=stage, key=step.key) as draft:
            for path, data in FILES[stage].items():
                (draft.path / path).write_bytes(data)
        manifest = read_manifest(store, step.prefix)
        assert manifest is not None
        known[stage] = manifest.digest
    record = RunRecord(started="now", experiment=experiment().as_json(), stages=records)
    write_record(store, "experiments/digits/20260101T000000.000000Z.json", record)


def test_nothing_there_runs_the_first_and_the_rest_depend_on_it(store):
    assert actions(store) == ["RUN", "DEPENDS", "DEPENDS", "DEPENDS"]
    assert reasons(store)["prepare"] == "never run in this store"
    assert reasons(store)["evaluate"] == "waits for prepare and train"


def test_all_there_is_reused(store):
    finish(store, *STAGES)
    assert actions(store) == ["REUSE"] * 4


def test_a_changed_setting_is_named_with_both_values(store):
    finish(store, *STAGES)
    assert actions(store, "train.images=300000") == ["REUSE", "RUN", "DEPENDS", "DEPENDS"]
    assert reasons(store, "train.images=300000")["train"] == "train.images changed: 102400 → 300000"
    assert reasons(store, "model.width=16", "seed=3")["train"] == "seed changed: 0 → 3; model.width changed: 32 → 16"


def test_a_change_of_evaluation_leaves_training_alone(store):
    finish(store, *STAGES)
    assert actions(store, "evaluate.k=3") == ["REUSE", "REUSE", "RUN", "DEPENDS"]
    assert reasons(store, "evaluate.k=3")["publish"] == "waits for evaluate"


def test_a_change_downstream_of_a_change_is_named_too(store):
    finish(store, *STAGES)
    assert reasons(store, "seed=1", "evaluate.k=3")["evaluate"] == "waits for train; evaluate.k changed: 5 → 3"


def test_changed_code_is_named(store, monkeypatch):
    finish(store, *STAGES)
    from pipelines import plan

    real = plan.code
    monkeypatch.setattr(plan, "code", lambda e, s: {**real(e, s), "gan_core.losses.penalties": "0" * 64}
                        if s == "train" else real(e, s))
    assert reasons(store)["train"] == "code changed: gan_core.losses.penalties"


def test_a_run_with_checkpoints_and_no_manifest_is_resumed(store):
    finish(store, "prepare")
    planner = Planner(store, experiment())
    train = planner.plan()[1]
    for position, whole in ((5120, True), (10240, False)):
        prefix = f"{train.prefix}/checkpoints/{position:012d}-0001"
        store.write(f"{prefix}/state.pt", b"state")
        if whole:
            store.write(f"{prefix}/{MANIFEST}", b"{}")
    assert actions(store) == ["REUSE", "RESUME", "DEPENDS", "DEPENDS"]
    assert reasons(store)["train"] == "interrupted; 5,120 of 102,400 images are done"


def test_a_missing_file_runs_its_stage_again(store):
    finish(store, *STAGES)
    prefix = Planner(store, experiment()).plan()[1].prefix
    store.delete(f"{prefix}/generator.safetensors")
    assert actions(store) == ["REUSE", "RUN", "DEPENDS", "DEPENDS"]
    assert reasons(store)["train"] == "generator.safetensors is missing or has another size"


def test_a_damaged_manifest_runs_its_stage_again(store):
    finish(store, *STAGES)
    store.write(f"{Planner(store, experiment()).plan()[0].prefix}/{MANIFEST}", b"{not json")
    assert actions(store)[0] == "RUN"
    assert reasons(store)["prepare"] == "MANIFEST.json is damaged"


def test_another_gate_judges_again_and_runs_nothing_else(store):
    finish(store, *STAGES)
    stricter = "publish.gate={coverage_pixels: {at_least: 0.99}}"
    assert actions(store, stricter) == ["REUSE", "REUSE", "REUSE", "RUN"]
    assert reasons(store, stricter)["publish"] == "version 0001 was not judged by this gate"


def test_remake_runs_a_stage_whose_result_is_there(store):
    finish(store, *STAGES)
    assert actions(store, remake=("evaluate",)) == ["REUSE", "REUSE", "RUN", "DEPENDS"]


def test_more_workers_or_another_store_change_nothing(store):
    finish(store, *STAGES)
    assert actions(store, "train.workers=1") == ["REUSE"] * 4


def test_a_run_that_fd_decides_waits_for_the_feature_network_and_is_named_by_it(store):
    finish(store, "prepare")
    decides = "train.best_by={metric: fd_domain}"
    planner = Planner(store, experiment(decides))
    prepare, train, *_ = planner.plan()
    assert actions(store, decides) == ["REUSE", "DEPENDS", "DEPENDS", "DEPENDS"]
    assert train.reason.startswith("waits for features")
    made = features_prefix(features_key(read_manifest(store, prepare.prefix), 0))
    keys = set()
    for weights in (b"one", b"another"):
        with artefact(store, made, kind="features", key="f") as draft:
            (draft.path / "domain.safetensors").write_bytes(weights)
        train = planner.plan()[1]
        manifest = read_manifest(store, made)
        assert manifest is not None
        assert train.action == "RUN"
        assert train.record.inputs["features"] == manifest.digest
        keys.add(train.key)
    assert len(keys) == 2
    assert "features" not in Planner(store, experiment()).plan()[1].record.inputs


def test_a_plan_says_what_is_not_known_and_that_nothing_is_new(store, capsys):
    with pytest.raises(SystemExit):
        main(["plan", DIGITS, "--store", store.url])
    assert "unknown (no past run)" in capsys.readouterr().err
    finish(store, *STAGES)
    words = ["plan", DIGITS, "--store", store.url, "--set", "publish.gate={}"]
    with pytest.raises(SystemExit):
        main(words)
    assert capsys.readouterr().err.splitlines()[-1] == "nothing new"
    with pytest.raises(SystemExit):
        main([*words, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["nothing_new"], found["estimate_s"]) == (True, 0)
    assert found["stages"][1]["estimate_s"] == found["stages"][1]["estimated_from"] == 0


def test_data_that_changed_behind_its_listing_is_planned_anew_once_it_is_verified(store, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gan_core.data.fingerprints.SETTLED_NS", -(10**15))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").write_bytes(b"one")
    words = ["plan", DIGITS, "--store", store.url, "--set", "publish.gate={}", "--json",
             "--set", f"data={{source: image_folder, url: {tmp_path}/set}}"]

    def prepare_key(*more: str) -> str:
        with pytest.raises(SystemExit):
            main([*words, *more])
        return str(json.loads(capsys.readouterr().out)["stages"][0]["key"])

    true = prepare_key()
    (kept,) = store.names("fingerprints")
    store.write(f"fingerprints/{kept}", b'{"content": "old", "fingerprint": "old"}')
    assert prepare_key() != true
    assert prepare_key("--verify-data") == true == prepare_key()
