"""Which settings of two experiments differ, and what that makes anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gan_core.config import load_experiment
from gan_core.manifest import artefact
from gan_core.store import Store
from pipelines.cli import main
from pipelines.config_diff import UNSET, differences, stages_anew
from pipelines.records import RunRecord, write_record

DIGITS = "configs/digits.yaml"
Capture = pytest.CaptureFixture[str]


def printed(capsys: Capture, *words: object) -> Any:
    with pytest.raises(SystemExit) as ended:
        main(["config", "diff", *map(str, words)])
    found = capsys.readouterr()
    assert ended.value.code == 0, found.err
    return found


@pytest.mark.parametrize(("setting", "stage", "anew"), [
    ("seed=1", "train", ["train", "evaluate", "publish"]),
    ("prepare.shard_examples=64", "prepare", ["prepare", "train", "evaluate", "publish"]),
    ("evaluate.k=3", "evaluate", ["evaluate", "publish"]),
    ("name=other", "publish", ["publish"]),
    ("train.workers=1", "", []),
    ("train.init_from=digits@champion", "", ["train", "evaluate", "publish"]),
    ("publish.gate.recall_pixels.at_least=0.7", "gate", []),
])
def test_a_setting_is_told_with_both_values_and_the_stages_that_depend_on_it(
    setting: str, stage: str, anew: list[str]
) -> None:
    a, b = load_experiment(DIGITS), load_experiment(DIGITS, [setting])
    (found,) = differences(a, b)
    assert (found.setting, found.stage) == (setting.partition("=")[0], stage)
    assert found.b == yaml.safe_load(setting.partition("=")[2])
    assert stages_anew(a, b) == anew


def test_a_setting_that_one_side_has_not_got_is_unset_there() -> None:
    found = differences(load_experiment(DIGITS), load_experiment("configs/digits_wgan.yaml"))
    assert ("model.penalties.r1.gamma", 0.5, UNSET) in [(one.setting, one.a, one.b) for one in found]


def test_equal_experiments_have_no_difference(capsys: Capture) -> None:
    assert json.loads(printed(capsys, DIGITS, DIGITS, "--json").out) == {"differences": [], "stages": []}
    assert printed(capsys, DIGITS, DIGITS).err.splitlines() == ["no setting differs", "no stage is made anew"]


def test_a_published_version_and_a_run_are_compared_as_they_ran(tmp_path: Path, capsys: Capture) -> None:
    store, ran = Store(tmp_path), load_experiment(DIGITS, ["seed=4"])
    with artefact(store, "models/digits/versions/0001", kind="version", key="k") as draft:
        (draft.path / "config.json").write_text(json.dumps(ran.as_json()))
    write_record(store, "experiments/digits/1.json", RunRecord(started="then", experiment=ran.as_json()))
    for there in ("digits@0001", "experiments/digits/1.json"):
        found = json.loads(printed(capsys, there, DIGITS, "--store", tmp_path, "--set", "seed=5", "--json").out)
        assert found["differences"] == [{"setting": "seed", "a": 4, "b": 5, "stage": "train"}]


def test_another_search_makes_no_stage_anew(tmp_path: Path, capsys: Capture) -> None:
    searched = tmp_path / "searched.yaml"
    searched.write_text(Path(DIGITS).read_text() + "tune:\n  space: {model.width: 'choice(8, 16)'}\n")
    found = json.loads(printed(capsys, DIGITS, searched, "--store", tmp_path, "--json").out)
    assert found["stages"] == []
    assert {"setting": "tune.space.model.width.choice", "a": "unset", "b": [8, 16], "stage": ""} in found["differences"]


def test_a_run_that_is_not_there_is_named(tmp_path: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["config", "diff", DIGITS, "experiments/digits/2.json", "--store", str(tmp_path)])
    assert ended.value.code == 2
    assert "experiments/digits/2.json: no such run in" in capsys.readouterr().err
