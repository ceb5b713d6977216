"""A search on several Ray nodes, one of which dies with the trial that it trains."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gan_core.store import Store
from pipelines.tuning.records import Trial, read_search
from tests.pipeline import GAN, kill_tree
from tests.system.nodes import Nodes

pytestmark = pytest.mark.system
WAIT_S = 240.0
EXPERIMENT: dict[str, Any] = {
    "name": "searched",
    "data": {"source": "digits"},
    "model": {"recipe": "dcgan", "width": 8, "latent": 8},
    "train": {"images": 20_480, "batch": 64},
    "tune": {"space": {"model.generator_optimizer.learning_rate": "loguniform(1e-4, 1e-2)"}, "samples": 2,
             "look_every": 1280, "repeats": {"top": 0}},
}


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    cluster = Nodes()
    cluster.add()
    yield cluster
    cluster.end()


def trials(store: Path) -> tuple[Trial, ...]:
    (prefix,) = [path.name for path in (store / "tune").glob("*")] or ("none",)
    search = read_search(Store(store), f"tune/{prefix}")
    return search.trials if search is not None else ()


def test_a_trial_whose_node_died_goes_on_from_its_checkpoint_on_another(nodes: Nodes, tmp_path: Path) -> None:
    lost = nodes.add()
    store, profile, experiment = tmp_path / "store", tmp_path / "nodes.yaml", tmp_path / "searched.yaml"
    profile.write_text(yaml.safe_dump({"ray": {"address": nodes.address}}))
    experiment.write_text(json.dumps(EXPERIMENT))  # YAML, too
    words = ["tune", experiment, "--store", store, "--profile", profile, "--no-publish", "--json"]
    process = subprocess.Popen([*GAN, *map(str, words)], env=nodes.environment(), stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + WAIT_S
        while len(trials(store)) < 2 or not all(len(trial.looks) >= 2 for trial in trials(store)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        nodes.kill(lost)
        printed, _ = process.communicate(timeout=WAIT_S)
    finally:
        kill_tree(process)
    assert process.returncode == 0
    assert json.loads(printed)["search"]["trials"] == {"finished": 2}
    begun = sorted(len(list((store / trial.run_prefix / "attempts").iterdir())) for trial in trials(store))
    assert begun == [1, 2]
    for trial in trials(store):
        assert [look.position for look in trial.looks] == list(range(1280, 20_481, 1280))
