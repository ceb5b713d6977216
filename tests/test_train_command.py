"""`gan train`: the first two stages of `gan run`, under the same keys."""

from __future__ import annotations

import json
import subprocess
import time

import psutil
import pytest

from gan_core.config import experiment_from, load_experiment
from gan_core.data.shards import open_shards
from gan_core.errors import DataError
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from gan_core.train.loop import fit
from pipelines.execute import Run
from pipelines.plan import Planner
from tests.pipeline import EXPERIMENT, GAN, Prefect, gan
from tests.train.runs import stop_at

QUICK = ("train.images=1024", "train.checkpoint_every=256", "train.report_every=128", "train.workers=1",
         "model.width=8", "model.latent=8")
NEEDED = {"ray::TrainController", "ray::RayTrainWorker"}
NOT_NEEDED = ("DatasetManager", "PlacementGroupCleaner", "AutoscalingCoordinator")


def watched(prefect: Prefect, *words: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """Runs `gan` to its end; also the titles that processes below it had, up to the first dot."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([*GAN, *words], env=prefect.environment(), text=True, **pipes)
    titles: set[str] = set()
    while process.poll() is None:
        for member in psutil.Process(process.pid).children(recursive=True):
            try:
                titles.add("".join(member.cmdline()[:1]).partition(".")[0])
            except psutil.Error:
                continue  # it ended between the two looks
        time.sleep(0.05)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err), titles


def test_a_feature_network_that_cannot_be_had_is_told_before_training(tmp_path):
    file = {"url": str(tmp_path / "net.pt"), "sha256": "0" * 64, "range": "0..1"}
    settings = {"evaluate": {"networks": ["pixels", "net"], "network_files": {"net": file}}}
    experiment = experiment_from(load_experiment(EXPERIMENT, QUICK).as_json() | settings)
    run = Run.of(experiment.as_json(), f"file://{tmp_path}/store", {})
    with pytest.raises(DataError, match=r"net\.pt: is not there; put the file of sha256 0000"):
        run.train(run.prepare())
    assert not run.store.names("runs")


@pytest.mark.system
def test_train_resumes_what_was_begun_and_run_finds_what_it_made(tmp_path, embedded: Prefect):
    experiment, store = load_experiment(EXPERIMENT, QUICK), Store(tmp_path / "store")
    words = [EXPERIMENT, "--store", store.url, *(word for one in QUICK for word in ("--set", one)), "--json"]
    shards = Run.of(experiment.as_json(), store.url, {}).prepare()
    step = Planner(store, experiment).step("train", {"prepare": shards.digest})
    place = RunPlace(store, step.prefix, step.key)
    begun = fit(experiment, open_shards(store, shards.prefix), place, stop_at(512, step=128),
                parents=(shards.parent(),), threads=1)
    assert not begun

    done, titles = watched(embedded, "train", *words)
    assert done.returncode == 0, done.stderr
    assert titles >= NEEDED
    assert not [title for title in titles if any(name in title for name in NOT_NEEDED)]  # each is a process's start
    printed = json.loads(done.stdout)
    prepared, trained = printed["stages"]
    assert (prepared["status"], trained["status"]) == ("REUSED", "RESUMED")
    assert trained["trained"] == [512, 1024]
    assert printed["run"] == trained["uri"] == store.uri(step.prefix)
    assert "512 to 1,024" in done.stderr
    assert not store.names("scores")

    again = gan(embedded, "train", *words)
    assert [stage["status"] for stage in json.loads(again.stdout)["stages"]] == ["REUSED", "REUSED"]
    assert "nothing to do: digits is trained already" in again.stderr
    planned = json.loads(gan(embedded, "plan", *words).stdout)["stages"]
    assert [stage["action"] for stage in planned] == ["REUSE", "REUSE", "RUN", "DEPENDS"]
