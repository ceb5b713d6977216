"""One worker, two workers and resumes of both, through the commands that a person types."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from gan_core.config import Experiment, experiment_from
from gan_core.manifest import MANIFEST, Manifest, read_manifest
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from tests.conftest import TINY
from tests.train.runs import Scripted, close_enough, equal, run_main, stop_at, train
from tests.workers import run_workers

pytestmark = pytest.mark.slow

STEPS, BATCH, LEARNING_RATE = 3, 64, 1e-3
ALONE = [sys.executable, "-m", "gan_core.train"]
TWO = [str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc-per-node", "2", "-m", "gan_core.train"]


@pytest.fixture(scope="module")
def yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Batch norm in the generator, R1 in the discriminator, a checkpoint a step."""
    optimizers = {f"{name}_optimizer": {"learning_rate": LEARNING_RATE} for name in ("generator", "discriminator")}
    settings = TINY | {
        "model": TINY["model"] | optimizers | {"penalties": {"r1": {"gamma": 1.0}}},
        "train": {"images": STEPS * BATCH, "batch": BATCH, "checkpoint_every": BATCH, "keep_checkpoints": STEPS,
                  "report_every": BATCH, "ema_half_life": 100, "precision": "float32",
                  "channels_last": False},
    }
    file = tmp_path_factory.mktemp("yaml") / "tiny.yaml"
    file.write_text(json.dumps(settings))
    return file


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, yaml: Path) -> Path:
    """A store with the shards alone, so that no command has to prepare them."""
    store = tmp_path_factory.mktemp("shards")
    assert run_main(yaml, "--store", store, "--set", f"train.images={BATCH}") == 0
    shutil.rmtree(store / "runs")
    return store


def run(command: list[str], yaml: Path, store: Path) -> Store:
    done = subprocess.run([*command, yaml, "--store", store], env=os.environ | {"OMP_NUM_THREADS": "1"},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Store(store)


@pytest.fixture(scope="module")
def one(shards: Path, yaml: Path) -> Store:
    """What one worker made."""
    return run(ALONE, yaml, shutil.copytree(shards, shards.with_name("one")))


@pytest.fixture(scope="module")
def two(shards: Path, yaml: Path) -> Store:
    """What two workers made."""
    return run(TWO, yaml, shutil.copytree(shards, shards.with_name("two")))


def run_of(store: Store) -> str:
    (name,) = store.names("runs")
    return f"runs/{name}"


def finished(store: Store) -> Manifest:
    manifest = read_manifest(store, run_of(store))
    assert manifest is not None
    return manifest


def last_state(store: Store) -> dict[str, Any]:
    state = RunPlace(store, run_of(store), finished(store).key).load_newest()
    assert state is not None
    return state[1]


def cut_back(store: Store, to: Path, *, steps: int) -> Path:
    """A copy in which the run died after so many steps."""
    shutil.copytree(store.local_path(""), to)
    folder = to / run_of(store)
    for name in (MANIFEST, "generator.safetensors", "networks.safetensors", "generator.json"):
        (folder / name).unlink()
    for checkpoint in folder.glob("checkpoints/*"):
        if int(checkpoint.name.partition("-")[0]) > steps * BATCH:
            shutil.rmtree(checkpoint)
    return to


def test_two_workers_with_half_the_batch_take_the_steps_one_takes_with_all_of_it(one: Store, two: Store) -> None:
    assert (finished(one).facts["worlds"], finished(two).facts["worlds"]) == ([1], [2])
    assert finished(one).facts["position"] == finished(two).facts["position"] == STEPS * BATCH
    assert close_enough(last_state(two), last_state(one), LEARNING_RATE)
    assert not close_enough(last_state(two), state_after(one, steps=2), LEARNING_RATE)


def state_after(store: Store, steps: int) -> dict[str, Any]:
    path = f"{run_of(store)}/checkpoints/{steps * BATCH:012d}-0001/state.pt"
    state: dict[str, Any] = torch.load(store.local_path(path), weights_only=True)
    return state


def test_their_run_has_the_same_key_and_the_same_curves(one: Store, two: Store) -> None:
    assert run_of(one) == run_of(two)
    assert finished(one).key == finished(two).key
    for step in range(1, STEPS + 1):
        part = f"{run_of(one)}/metrics/{step * BATCH:012d}.jsonl"
        ours, theirs = json.loads(two.read(part)), json.loads(one.read(part))
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)


def test_two_workers_resumed_are_two_workers_uninterrupted_bit_for_bit(two: Store, tmp_path: Path, yaml: Path) -> None:
    resumed = run(TWO, yaml, cut_back(two, tmp_path / "store", steps=1))
    assert equal(last_state(resumed), last_state(two))
    assert finished(resumed).digest == finished(two).digest
    assert finished(resumed).facts["attempts"] == 2


def work(rank: int, raw: dict[str, Any], digits: str, folder: str) -> None:
    """One of two workers; it sees the store as it was at another moment than the other does."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2,
                            timeout=timedelta(seconds=20))
    reporter = Scripted()
    train(Store(f"{folder}/{rank}"), Store(digits), experiment_from(raw), reporter)
    Path(f"{folder}/{rank}.json").write_text(json.dumps([position for position, _ in reporter.saved]))
    dist.destroy_process_group()


def test_two_workers_begin_at_the_same_checkpoint_though_one_sees_a_newer(
    tmp_path: Path, digits_store: Store, experiment: Callable[..., Experiment]
) -> None:
    """An overtaken attempt may finish its last write between the looks of two workers."""
    for rank, stop in enumerate((128, 256)):
        train(Store(tmp_path / str(rank)), digits_store, experiment(), stop_at(stop))
    run_workers(work, (experiment().as_json(), digits_store.url, str(tmp_path)), 2)
    assert [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)] == [[256, 384, 512]] * 2


def test_one_worker_goes_on_where_two_began(two: Store, one: Store, tmp_path: Path, yaml: Path) -> None:
    store = cut_back(two, tmp_path / "store", steps=2)
    assert run_main(yaml, "--store", store) == 0
    assert finished(Store(store)).facts["worlds"] == [2, 1]
    assert close_enough(last_state(Store(store)), last_state(one), LEARNING_RATE)
