"""What training on Ray refuses before it starts, and what it says when workers are lost.  tests/system has the rest."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from ray.exceptions import RayActorError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback, WorkerHealthCheckFailedError

from pipelines.profile import Profile
from pipelines.ray_controller import of_the_program, what_was_lost
from tests.conftest import TINY

GLOO = RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]")
DIED = WorkerHealthCheckFailedError("A worker health check failed.\nWorker info: …", RayActorError())


def test_a_lost_worker_is_one_plain_line() -> None:
    assert what_was_lost({1: DIED}) == "worker 1 died"
    assert what_was_lost({0: GLOO, 1: DIED, 2: DIED}) == "workers 1, 2 died"
    assert what_was_lost({0: GLOO}) == "worker 0 lost contact with another worker"
    assert what_was_lost({2: ValueError("first\nlast\n")}) == "worker 2 failed: last"


@pytest.mark.parametrize(("raised", "expected"), [
    ([TypeError("no such argument")], True),
    ([TypeError("no such argument"), GLOO], True),  # the others lose the one that failed
    ([GLOO], False),
    ([GLOO, DIED], False),
    ([TypeError("no such argument"), DIED], False),
    ([ConnectionResetError("by the store")], False),
])
def test_an_error_of_what_runs_on_the_workers_is_told_from_the_loss_of_one(
    raised: list[Exception], expected: bool
) -> None:
    errors = [error if error is DIED else UserExceptionWithTraceback(error, f"Traceback\n{error}") for error in raised]
    assert of_the_program(dict(enumerate(errors))) is expected


def test_a_profile_sets_elastic_workers_as_set_does() -> None:
    assert Profile().overrides == []
    assert Profile(workers=3).overrides == ["train.workers=3"]
    assert Profile.model_validate({"workers": {"max": 4}}).overrides == ['train.workers={"min": 1, "max": 4}']


ASKS = """
import json, sys
from gan_core.config import experiment_from
from gan_core.errors import ConfigError
from pipelines.cluster import connect, start_ray, stop_ray
from pipelines.profile import Profile
profile = Profile(cpus_per_worker=3)
connect(profile, 1)
from pipelines.room import Placed
for workers in json.loads(sys.argv[2]):
    try:
        experiment = json.loads(sys.argv[1])
        experiment["train"]["workers"] = workers
        print(Placed.on_cluster(experiment_from(experiment), profile).workers)
    except ConfigError as error:
        print(error)
stop_ray()
"""


@pytest.mark.system
def test_workers_that_find_no_room_are_refused_and_elastic_ones_need_room_for_the_fewest() -> None:
    asked = [1, 2, {"min": 1, "max": 2}, {"min": 2, "max": 2}]
    done = subprocess.run([sys.executable, "-c", ASKS, json.dumps(TINY), json.dumps(asked)], capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "1",
        "train.workers=2 asks for 6 CPUs and the cluster has 3 in 1 node; train.workers=1 fits",
        "(1, 2)",
        "train.workers.min=2 asks for 6 CPUs and the cluster has 3 in 1 node; train.workers.min=1 fits",
    ]
