from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from gan_core.errors import WorkersFailed
from pipelines.cluster import connect
from pipelines.profile import Profile, RayConfig
from tests.pipeline import free_port

BESIDE = """
import threading
import numpy as np
from pipelines.cluster import connect, start_ray, stop_ray
from pipelines.profile import Profile
over = threading.Event()
def multiply():
    square = np.random.default_rng(0).random((360, 360))
    while not over.is_set():
        square @ square
threading.Thread(target=multiply, daemon=True).start()
start_ray(Profile(), 1)
connect(Profile(), 1)
import ray
print(ray.get(ray.remote(lambda: 41 + 1).remote()), flush=True)
{then}
over.set()
stop_ray()
"""


@pytest.mark.system
def test_ray_starts_and_ends_beside_matrix_products():
    """In the process that computes it would not: OpenBLAS and fork() wait for each other."""
    program = [sys.executable, "-c", BESIDE.format(then="")]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "42"


@pytest.mark.system
def test_ray_ends_with_a_run_that_is_killed():
    waits = "import time; time.sleep(300)"
    with subprocess.Popen([sys.executable, "-c", BESIDE.format(then=waits)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"42"
        family = psutil.Process(process.pid).children(recursive=True)
        assert [member for member in family if "raylet" in member.name()]
        listening = {at.laddr.ip for member in [psutil.Process(process.pid), *family]
                     for at in member.net_connections("tcp") if at.status == psutil.CONN_LISTEN}
        assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}, "reached from other machines"
        process.kill()
    _, left = psutil.wait_procs(family, timeout=60)
    for member in left:
        member.kill()
    assert not left


def test_a_cluster_that_does_not_answer_is_named():
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(WorkersFailed, match=f"no Ray cluster answers at {address}"):
        connect(Profile(ray=RayConfig(address=address)), 1)
