"""The room of training workers whose trial's process was ended, as a search ends it to pause a trial."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.store import Store
from tests.conftest import TINY
from tests.system.training import SHARDS

pytestmark = pytest.mark.system
TWO_TRIALS = """
import os, sys, threading, time
from gan_core.config import experiment_from
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from pipelines.cluster import connect, ray_for_a_while, start_ray
from pipelines.profile import Profile
store, experiment = Store(sys.argv[1]), sys.argv[2]
half = Profile(cpus_per_worker=max(1, (os.cpu_count() or 1) // 2))  # of this machine

def train(run, images):
    import json
    from pipelines.interrupt import StopSignals
    from pipelines.on_ray import train_on_ray
    told = json.loads(experiment)
    told["train"]["images"] = images
    train_on_ray(experiment_from(told), half.in_a_job(), RunPlace(store, run, "k"), "shards/digits", (), None,
                 StopSignals(""))

class Trial:
    def train(self, run, images):
        thread = threading.Thread(target=train, args=(run, images))
        thread.start()
        thread.join()

def until(holds):
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)

with ray_for_a_while():
    start_ray(half, 2)
    connect(half, 2)
    import ray
    trial = ray.remote(num_cpus=0)(Trial)
    paused, next_one = trial.remote(), trial.remote()
    paused.train.remote("runs/paused", 10**9)
    until(lambda: bool(RunPlace(store, "runs/paused", "k").whole()))
    ray.kill(paused)
    ray.get(next_one.train.remote("runs/next", 512), timeout=120)
    print("trained")
"""


def test_the_next_trial_has_the_room_of_one_whose_process_was_ended(tmp_path: Path) -> None:
    """There is room for two workers, on a Ray without a dashboard, and each trial has two."""
    store = Store(tmp_path)
    write_shards(Digits(), store, SHARDS, shard_examples=4096, key="digits")
    experiment = TINY | {"train": {**TINY["train"], "workers": 2}}
    command = [sys.executable, "-c", TWO_TRIALS, store.url, json.dumps(experiment)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("trained\n")
    assert store.exists("runs/next/MANIFEST.json")
