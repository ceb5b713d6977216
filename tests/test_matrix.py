"""Several experiments in one command: what they are named, what is refused, what runs, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from gan_core.errors import ConfigError, DataError
from gan_core.store import Store
from pipelines import cli, matrix
from pipelines.children import Child, Children
from pipelines.matrix import Asked, Cell, Matrix, combinations, exit_code, name_of, open_all
from pipelines.plan import Action, Step
from pipelines.records import StageRecord
from tests.pipeline import gan, only

DIGITS = "configs/digits.yaml"


@dataclass
class Told:
    """A view that keeps what it is told."""

    events: list[tuple[str, str]] = field(default_factory=list)

    def event(self, cell: Cell, what: str) -> None:
        self.events.append((cell.name, what))


@dataclass
class Faked:
    """Children that end as they are told to: (status, standard output, error) by experiment; a command each."""

    ends: Mapping[str, tuple[int, str, str]] = field(default_factory=dict)
    signal: int = 0
    commands: list[Sequence[str]] = field(default_factory=list)
    environments: list[Mapping[str, str]] = field(default_factory=list)
    busy: int = 0
    most: int = 0
    _one: threading.Lock = field(default_factory=threading.Lock)

    def run(self, command: Sequence[str], heard: Any, environment: Mapping[str, str]) -> Child:
        with self._one:
            self.commands.append(command)
            self.environments.append(environment)
            self.busy += 1
            self.most = max(self.most, self.busy)
        heard("train")
        name = json.loads(next(word for word in command if word.startswith("name=")).partition("=")[2])
        with self._one:
            self.busy -= 1
        return Child(*self.ends.get(name, (0, '{"published": null}', "")))


def opened(tmp_path: Path, *axes: str, **asked: Any) -> list[Cell]:
    return open_all([DIGITS], axes, Asked(str(tmp_path), **asked))


def test_a_matrix_is_every_combination_of_values_read_as_yaml() -> None:
    assert combinations(["seed=0,1", "train.sampling=natural,{1: 2, 3: 4}"]) == [
        {"seed": seed, "train.sampling": sampling} for seed in (0, 1) for sampling in ("natural", {1: 2, 3: 4})]
    assert combinations([]) == [{}]


@pytest.mark.parametrize(("axis", "said"), [
    ("seed", "--matrix seed: not of the form"), ("seed=", "--matrix seed=: not of the form"),
    ("=1", "--matrix =1: not of the form"), ("seed={", "no list of YAML values"),
])
def test_what_is_no_matrix_is_refused(axis: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        combinations([axis])
    with pytest.raises(ConfigError, match="named twice"):
        combinations(["seed=1", "seed=2"])


@pytest.mark.parametrize(("chosen", "name"), [
    ({"seed": 0, "train.batch": 64}, "digits-seed0-batch64"),
    ({"data.root": "s3://bucket/days/2026-01-02/"}, "digits-root2026-01-02"),
    ({"model.generator_optimizer.learning_rate": 0.0005}, "digits-learning-rate0-0005"),
    ({"train.compile": True}, "digits-compiletrue"),
])
def test_a_name_says_what_sets_a_run_apart(chosen: dict[str, Any], name: str) -> None:
    assert name_of("digits", chosen) == name


def test_a_name_that_is_too_long_is_refused_with_what_works() -> None:
    with pytest.raises(ConfigError, match="at most 63; --set name=a-shorter-one works"):
        name_of("a" * 60, {"seed": 12})


def test_all_mistakes_are_told_before_anything_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", DIGITS, "--store", str(tmp_path), "--matrix", "train.batch=0,-1", "--matrix", "seed=0,1"])
    assert ended.value.code == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("gan: configs/digits.yaml: train.batch: 0:")
    assert first.endswith("(with train.batch=0 seed=0, and 1 more)")
    assert second.startswith("gan: configs/digits.yaml: train.batch: -1:")


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"digits.yaml and configs/digits.yaml would both be named digits; set name"):
        open_all([DIGITS, DIGITS], [], Asked(str(tmp_path)))
    with pytest.raises(ConfigError, match="would both be named digits-urlday"):
        opened(tmp_path, "data.url=one/day,two/day", overrides=("data={source: image_folder, url: here}",
                                                                "publish.gate={}"))


def test_each_runs_as_a_command_of_its_own_and_the_results_keep_their_order(tmp_path: Path) -> None:
    cells, children, view = opened(tmp_path, "seed=0,1,2", overrides=("train.images=1280",)), Faked(), Told()
    asked = Asked(str(tmp_path), profile="ci", ray_address="head:6379")
    results = Matrix(cast(Children, children), asked, 2, view).run(cells)
    assert [(result.cell.name, result.status) for result in results] == [
        (f"digits-seed{seed}", "DONE") for seed in range(3)]
    assert sorted(children.commands)[1] == [
        sys.executable, "-m", "pipelines.cli", "run", DIGITS, "--set", "train.images=1280", "--set", "seed=1",
        "--set", 'name="digits-seed1"', "--store", str(tmp_path), "--profile", "ci", "--ray-address", "head:6379",
        "--json"]
    assert [what for name, what in view.events if name == "digits-seed2"] == ["started", "train", "DONE"]
    assert children.most <= 2


def test_settings_of_the_environment_reach_a_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_SET", "seed=9")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    children = Faked()
    Matrix(cast(Children, children), Asked(str(tmp_path)), 2, Told()).run(opened(tmp_path, "seed=0,1"))
    assert all("GAN_SET" not in environment for environment in children.environments)
    assert len({environment["PREFECT_HOME"] for environment in children.environments}) == 2  # one SQLite file each


def test_one_that_fails_lets_the_others_go_on_and_gives_1(tmp_path: Path) -> None:
    children = Faked({"digits-seed0": (1, "", "the data is gone"), "digits-seed1": (3, '{"published": null}', "low")})
    results = Matrix(cast(Children, children), Asked(str(tmp_path)), 1, Told()).run(opened(tmp_path, "seed=0,1,2"))
    assert [(result.status, result.error) for result in results] == [
        ("FAILED", "the data is gone"), ("REFUSED", "low"), ("DONE", "")]
    assert [exit_code(results, 0), exit_code(results[1:], 0), exit_code(results[2:], 0)] == [1, 3, 0]
    assert exit_code(results[1:], signal.SIGTERM) == 143


def test_data_that_cannot_be_read_fails_its_own_run_alone(tmp_path: Path) -> None:
    cells = open_all([DIGITS], ["data.url=nowhere"], Asked(
        str(tmp_path), ("data={source: image_folder, url: here}", "publish.gate={}")))
    children = Faked()
    (result,) = Matrix(cast(Children, children), Asked(str(tmp_path)), 1, Told()).run(cells)
    assert result.status == "FAILED"
    assert "nowhere: is not there" in result.error
    assert children.commands == []


def all_reused(cell: Cell) -> Cell:
    """The cell as if a version of it were published."""
    record = StageRecord(key="", config={}, inputs={}, code={})
    prefix = f"models/{cell.name}/versions/0004"
    cell.opened.store.write(f"{prefix}/metrics.json", b'{"other": {"value": 2}, "recall_pixels": {"value": 0.5}}')
    return Cell(cell.path, cell.chosen, cell.overrides, cell.name, cell.opened,
                (Step("publish", Action.REUSE, "", record, prefix),))


def test_what_is_done_starts_no_process_and_shows_the_metric_that_its_gate_names(tmp_path: Path) -> None:
    cells, children = [all_reused(cell) for cell in opened(tmp_path, "seed=7")], Faked()
    (result,) = Matrix(cast(Children, children), Asked(str(tmp_path)), 1, Told()).run(cells)
    assert children.commands == []
    found = result.as_json()
    assert (found["status"], found["version"], found["metric"], found["settings"]) == (
        "REUSED", "digits-seed7@0004", {"name": "recall_pixels", "value": 0.5}, {"seed": 7})


def test_after_a_signal_nothing_more_is_started(tmp_path: Path) -> None:
    children = Faked(signal=signal.SIGINT)
    results = Matrix(cast(Children, children), Asked(str(tmp_path)), 1, Told()).run(opened(tmp_path, "seed=0,1"))
    assert [result.status for result in results] == ["NOT STARTED"] * 2
    assert exit_code(results, children.signal) == 130


def test_a_data_set_is_verified_once_however_many_runs_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(matrix, "read_all_data", lambda store, experiment: read.append(experiment.source))
    opened(tmp_path, "seed=0,1", verify_data=True)
    assert read == ["digits"]


def test_a_signal_reaches_every_child_and_their_last_words_are_kept() -> None:
    program = ("import signal, sys, time\n"
               "def stop(*_): print('gan: stopped after a checkpoint', file=sys.stderr); sys.exit(130)\n"
               "signal.signal(signal.SIGINT, stop)\n"
               "print('train', file=sys.stderr, flush=True)\n"
               "time.sleep(60)\n")
    with Children() as children:
        child = children.run([sys.executable, "-c", program], lambda line: os.kill(os.getpid(), signal.SIGINT)
                             if line == "train" else None, os.environ)
    assert (child.status, child.error, children.signal) == (130, "stopped after a checkpoint", signal.SIGINT)


def test_what_a_child_said_last_is_its_error_and_not_what_it_said_on_the_way() -> None:
    program = ("import sys; print('gan: stopping', 'a table', 'gan: one mistake', 'gan: another', 'bye', sep='\\n', "
               "file=sys.stderr)")
    with Children() as children:
        child = children.run([sys.executable, "-c", program], lambda line: None, os.environ)
    assert child.error == "one mistake\nanother"


def test_a_child_without_words_of_its_own_is_quoted_by_its_last_line() -> None:
    with Children() as children:
        child = children.run([sys.executable, "-c", "print(5); 1 / 0"], lambda line: None, os.environ)
    assert (child.status, child.out, child.error) == (1, "5\n", "ZeroDivisionError: division by zero")


def test_json_is_all_that_goes_to_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Children, "run", lambda self, command, heard, environment: Child(1, "", "no room"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", DIGITS, "--store", str(tmp_path), "--matrix", "seed=0", "--json"])
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert [found["error"] for found in json.loads(printed.out)["experiments"]] == ["no room"]
    assert "digits-seed0: no room" in printed.err


def test_a_broken_data_set_is_told_where_its_plan_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object) -> list[Step]:
        raise DataError("half of it is gone")

    monkeypatch.setattr("pipelines.plan.Planner.plan", broken)
    assert [cell.error for cell in opened(tmp_path, "seed=0,1")] == ["half of it is gone"] * 2


@pytest.mark.system
def test_two_runs_of_a_matrix_publish_and_the_same_command_does_nothing_more(embedded: Any, tmp_path: Path) -> None:
    words = ("run", DIGITS, "--store", tmp_path / "store", "--set", "train.images=1280", "--set", "train.workers=1",
             "--set", "publish.gate={}", "--matrix", "seed=0,1", "--parallel", "2", "--json")
    first = gan(embedded, *words)
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)["experiments"]
    assert [(one["status"], one["version"]) for one in found] == [
        ("DONE", f"digits-seed{seed}@0001") for seed in (0, 1)]
    assert only(tmp_path / "store" / "shards")  # both were made from one set of shards
    again = json.loads(gan(embedded, *words).stdout)["experiments"]
    assert [(one["status"], one["metric"]) for one in again] == [("REUSED", one["metric"]) for one in found]
    assert Store(tmp_path / "store").names("experiments") == ["digits-seed0", "digits-seed1"]
