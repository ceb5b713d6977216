"""The main job as its users run it: `gan` in processes of its own, with real Ray workers and a real Prefect server."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gan_core.config import load_experiment
from pipelines.keys import STAGES
from tests.pipeline import EXPERIMENT, Prefect, ask, free_port, gan, interrupt_once, only, run_until, settings, soon

pytestmark = pytest.mark.slow


@pytest.fixture
def finished(undisturbed: tuple[Path, str, str], tmp_path: Path) -> Path:
    """A copy of the finished run's store, to be spoiled."""
    copy = tmp_path / "store"
    shutil.copytree(undisturbed[0], copy)
    return copy


def test_a_run_ends_with_one_line_of_json_and_says_the_rest_on_standard_error(undisturbed):
    store, printed, said = undisturbed
    outcome = json.loads(printed)
    assert printed.count("\n") == 1
    assert [stage["name"] for stage in outcome["stages"]] == list(STAGES)
    assert {stage["status"] for stage in outcome["stages"]} == {"RUN"}
    assert outcome["published"] == f"file://{store}/models/digits/versions/0001"
    for expected in ("samples.png", "report.html", "coverage_pixels", "test split, 360 real and 360 generated images"):
        assert expected in said


def test_a_small_run_learns_the_digits(undisturbed, embedded):
    """20,480 images, a fifth of the demo: three seeds gave coverage 0.71 to 0.73 and agreement 0.96 to 1.00."""
    shown = json.loads(gan(embedded, "models", "show", "digits@latest", "--store", undisturbed[0], "--json").stdout)
    value = {name: measured["value"] for name, measured in shown["metrics"].items()}
    assert value["coverage_pixels"] >= 0.55
    assert value["class_agreement"] >= 0.85


def test_show_prints_the_version_with_its_metrics_files_and_lineage(undisturbed, embedded):
    shown = json.loads(gan(embedded, "models", "show", "digits@latest", "--store", undisturbed[0], "--json").stdout)
    assert list(shown) == ["version", "uri", "aliases", "inputs", "metrics", "files", "lineage"]
    assert shown["aliases"] == ["champion", "latest"]
    assert list(shown["metrics"]) == list(load_experiment(EXPERIMENT).evaluate.metric_names)
    for measured in shown["metrics"].values():
        assert (measured["n_real"], measured["n_fake"], measured["split"]) == (360, 360, "test")
    assert [parent["kind"] for parent in shown["lineage"]] == ["shards", "run", "scores", "version"]
    assert "MANIFEST.json" not in {file["path"] for file in shown["files"]}


def test_training_left_a_curve_part_and_an_event_file_for_each_checkpoint(undisturbed):
    run = only(undisturbed[0] / "runs")
    positions = list(range(2048, 20481, 2048))
    assert sorted(int(part.stem) for part in (run / "metrics").iterdir()) == positions
    assert len(list((run / "tensorboard").iterdir())) == len(positions)
    assert len(list((run / "checkpoints").iterdir())) == 2  # the newest two are kept


def test_the_demo_checkpoints_at_least_ten_times_evenly_the_first_within_a_tenth():
    train = load_experiment(EXPERIMENT).train
    assert train.images // train.checkpoint_every >= 10
    assert train.checkpoint_every <= train.images // 10
    assert train.images % train.checkpoint_every == 0


def test_a_second_run_reuses_every_stage_and_starts_neither_prefect_nor_ray(undisturbed, embedded):
    code = (
        "import sys; from pipelines.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'ray', 'prefect', 'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    words = ["run", EXPERIMENT, "--store", str(undisturbed[0]), *settings(), "--json"]
    environment = embedded.environment()
    done = subprocess.run([sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True)
    outcome, imported = done.stdout.splitlines()
    assert {stage["status"] for stage in json.loads(outcome)["stages"]} == {"REUSED"}
    assert json.loads(outcome)["published"].endswith("/0001")
    assert imported == "[]"


@pytest.fixture(scope="module")
def evaluated_again(
    undisturbed: tuple[Path, str, str], served: Prefect, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The outcome of the finished run with another evaluation, on the server."""
    store = shutil.copytree(undisturbed[0], tmp_path_factory.mktemp("again") / "store")
    done = gan(served, "run", EXPERIMENT, "--store", store, *settings("evaluate.k=3"), "--json")
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def test_a_change_of_evaluation_runs_evaluate_and_publish_only(evaluated_again):
    outcome = evaluated_again
    assert [stage["status"] for stage in outcome["stages"]] == ["REUSED", "REUSED", "RUN", "RUN"]
    assert outcome["published"].endswith("/0002")


@pytest.mark.usefixtures("evaluated_again")
def test_a_configured_server_has_the_run_its_tasks_and_its_artifacts(served):
    assert soon(lambda: {run["name"].partition("-")[0] for run in ask(served, "task_runs/filter")} >= set(STAGES))
    kinds = {(artifact["key"], artifact["type"]) for artifact in ask(served, "artifacts/filter")}
    assert kinds >= {("digits-training", "progress"), ("digits-samples", "image"), ("digits-metrics", "table"),
                     ("digits-version", "markdown")}


def test_a_server_that_does_not_answer_is_named(finished, embedded):
    nobody = Prefect(embedded.home, f"http://127.0.0.1:{free_port()}/api")
    refused = gan(nobody, "run", EXPERIMENT, "--store", finished, *settings())
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"gan: no Prefect server answers at {nobody.server}")


def test_a_refused_gate_leaves_the_version_published_and_unpromoted_and_says_by_how_much(finished, served):
    gate = "publish.gate={coverage_pixels: {at_least: 1.5}}"
    refused = gan(served, "run", EXPERIMENT, "--store", finished, *settings(gate))
    assert refused.returncode == 3
    assert "below at_least 1.5" in refused.stderr
    assert (finished / "models/digits/versions/0001/MANIFEST.json").exists()
    again = gan(served, "run", EXPERIMENT, "--store", finished, *settings(gate))
    assert again.returncode == 0  # the gate speaks once


@pytest.mark.parametrize(("stage", "pattern"), [
    ("prepare", "shards/*/test-00000.arrow"),
    ("train", "runs/*/generator.safetensors"),
])
@pytest.mark.system
def test_a_flipped_byte_stops_the_run_that_would_use_it_and_remake_mends_it(stage, pattern, finished, served):
    (file,) = finished.glob(pattern)
    flip(file)
    stopped = gan(served, "run", EXPERIMENT, "--store", finished, *settings("evaluate.k=4"))
    assert stopped.returncode == 1
    (line,) = (line for line in stopped.stderr.splitlines() if line.startswith("gan: "))
    assert file.name in line
    assert f"--remake {stage}" in line
    mended = gan(served, "run", EXPERIMENT, "--store", finished, *settings("evaluate.k=4"), "--remake", stage, "--json")
    assert mended.returncode == 0, mended.stderr
    statuses = [result["status"] for result in json.loads(mended.stdout)["stages"]]
    assert statuses[STAGES.index(stage)] == "RUN"


def test_a_flipped_byte_is_named_by_verify(finished, embedded):
    (shard,) = finished.glob("shards/*/train-00000.arrow")
    flip(shard)
    verified = gan(embedded, "models", "verify", "digits@latest", "--store", finished)
    assert verified.returncode == 1
    assert shard.name in verified.stdout


@pytest.mark.system
def test_torchrun_without_ray_makes_the_same_bytes(undisturbed, tmp_path):
    torchrun = [str(Path(sys.executable).with_name("torchrun")), "--nproc-per-node", "2", "-m", "gan_core.train"]
    command = [*torchrun, EXPERIMENT, "--store", str(tmp_path), *settings()]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours, theirs = only(tmp_path / "runs"), only(undisturbed[0] / "runs")
    for path in ("generator.safetensors", "networks.safetensors"):
        assert (ours / path).read_bytes() == (theirs / path).read_bytes()
    on_ray = rows(theirs)  # where samples are compared with real ones too
    assert [row["position"] for row in on_ray if "fd_domain" in row] == [10_240, 20_480]
    assert [{name: value for name, value in row.items() if name != "fd_domain"} for row in on_ray] == rows(ours)


def test_ctrl_c_ends_a_run_with_130_and_one_line_and_leaves_nothing_running(tmp_path, embedded):
    store = tmp_path / "store"
    begun = (store / "runs").glob
    status, said = interrupt_once(embedded, store, lambda: any(begun("*/checkpoints/*/MANIFEST.json")))
    assert status == 130
    assert re.fullmatch(r"gan: stopped by SIGINT at [\d,]+ of 20,480 images; the same command goes on from the newest "
                        "checkpoint", said.splitlines()[-1])
    assert "Traceback" not in said
    planned = json.loads(gan(embedded, "plan", EXPERIMENT, "--store", store, *settings(), "--json").stdout)
    assert planned["stages"][1]["action"] == "RESUME"


@pytest.mark.system
def test_killed_before_in_and_after_a_checkpoint_training_ends_with_the_same_bytes(
    undisturbed, tmp_path, served, embedded
):
    store = tmp_path / "store"
    runs = store / "runs"

    def checkpoints() -> int:
        return len(list(runs.glob("*/checkpoints/*/MANIFEST.json")))

    def begun() -> bool:
        return any(runs.glob("*/attempts/0001.json"))

    run_until(served, store, begun)
    assert checkpoints() == 0

    def writer_killed() -> bool:
        """Kills the worker that is writing a checkpoint before the rest of the tree: a write takes milliseconds."""
        for state in (store / ".staging").glob("*/state.pt"):
            os.kill(int(state.parent.name.split("-")[-2]), signal.SIGKILL)
            return True
        return False

    for _ in range(5):  # the write may still end between the look and the kill
        run_until(served, store, writer_killed)
        left = [state.parent for state in (store / ".staging").glob("*/state.pt")]
        torn = [checkpoint for checkpoint in left if not (checkpoint / "MANIFEST.json").exists()]
        if torn:
            break
    assert torn, "no kill fell into the writing of a checkpoint"

    had = checkpoints()
    newest = max((path.name for path in runs.glob("*/checkpoints/*")), default="")
    run_until(served, store, lambda: max((p.name for p in runs.glob("*/checkpoints/*")), default="") > newest)
    assert checkpoints() >= had

    planned = json.loads(gan(embedded, "plan", EXPERIMENT, "--store", store, *settings(), "--json").stdout)
    assert [stage["action"] for stage in planned["stages"]] == ["REUSE", "RESUME", "DEPENDS", "DEPENDS"]
    done = gan(served, "run", EXPERIMENT, "--store", store, *settings(), "--json")
    assert done.returncode == 0, done.stderr
    assert [stage["status"] for stage in json.loads(done.stdout)["stages"]] == ["REUSED", "RESUMED", "RUN", "RUN"]
    assert not list((store / ".staging").iterdir())  # what the kills left is swept

    ours, theirs = only(runs), only(undisturbed[0] / "runs")
    for path in ("generator.safetensors", "networks.safetensors", "generator.json"):
        assert (ours / path).read_bytes() == (theirs / path).read_bytes()
    for part in (theirs / "metrics").iterdir():
        assert (ours / "metrics" / part.name).read_bytes() == part.read_bytes()


def rows(run: Path) -> list[dict[str, Any]]:
    """The curves of a finished run."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def flip(file: Path) -> None:
    """One bit of one byte in the middle."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
