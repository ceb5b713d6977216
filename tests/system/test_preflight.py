"""A preflight on real Ray nodes, each with a fault of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline import EXPERIMENT, GAN, free_port
from tests.s3_server import S3Server, s3_server
from tests.system.nodes import Nodes

pytestmark = pytest.mark.system
ASKS = """
import json, sys
from pipelines.cluster import connect, stop_ray
from pipelines.preflight import Question, examine, heed
from pipelines.preflight_room import Need, waited
from pipelines.autoscaler import NodeType, NodeTypes
from pipelines.profile import PreflightConfig, Profile, RayConfig
from gan_core.errors import GanError
address, store, workers, what = sys.argv[1:]
connect(Profile(ray=RayConfig(address=address)), 1)
need = Need(field="train.workers", workers=int(workers), cpus=1, gpus=None)
if what == "look":
    found = examine(Question(need=need, store=store, settings=PreflightConfig()), lambda line: None)
    again = examine(Question(need=need, store=store, settings=PreflightConfig()), lambda line: None)
    try:
        heed(found)
        status = 0
    except GanError as error:
        status = error.exit_code
    print(json.dumps({**found.as_json(), "again": again.seconds, "status": status}))
else:
    types = NodeTypes(types=(NodeType(resources={"CPU": 1}, most=3),), most=3)
    nodes, late = waited(need, types, float(what), lambda line: print(line, flush=True))
    print(json.dumps([len(nodes), None if late is None else late.found]))
stop_ray()
"""


@pytest.fixture
def server() -> Iterator[S3Server]:
    with s3_server("preflight", "a-secret-that-is-never-printed") as server:
        yield server


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def cluster() -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    nodes.end()


def begin(cluster: Nodes, store: str, workers: int, what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ASKS, cluster.address, store, str(workers), what]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=cluster.environment(), stdout=pipe, stderr=pipe, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[Any, str]:
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return json.loads(out.splitlines()[-1]), out + said


def with_torch(folder: Path, version: str) -> str:
    """A folder for PYTHONPATH with which Python finds another version of torch than is there."""
    named = folder / f"torch-{version}.dist-info"
    named.mkdir(parents=True)
    (named / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
    return f"{folder}:{os.environ.get('PYTHONPATH', '')}"


def test_each_nodes_own_fault_is_named_before_anything_starts_and_nodes_that_come_are_waited_for(
    cluster: Nodes, server: S3Server, tiny: Path, tmp_path: Path
) -> None:
    cluster.add()
    cluster.add(AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}", TMPDIR=str(tiny), RAY_TMPDIR="/tmp")
    cluster.add(PYTHONPATH=with_torch(tmp_path / "other", "2.0.0"))
    found, printed = ended(begin(cluster, "s3://preflight/store", 4, "look"))
    wrong = {one["name"]: one["found"].partition(": ")[2] for one in found["of_cluster"] + found["of_nodes"]}
    assert sorted(wrong) == ["disk", "room", "store", "versions"]
    assert found["of_cluster"][0]["found"] == "train.workers=4 asks for 4 x CPU; the cluster has 3 in 3 nodes"
    assert wrong["versions"].startswith("torch 2.0.0, here 2.")
    assert "Could not connect to the endpoint" in wrong["store"] or "does not answer" in wrong["store"]
    assert f"free in {tiny} (TMPDIR), and the run needs 67 MB" in wrong["disk"]
    assert sorted(one["verdict"] for one in found["nodes"]) == ["bad", "bad", "good"]
    assert found["status"] == 2
    assert "a-secret-that-is-never-printed" not in printed
    print(f"3 nodes: {found['seconds']:.1f} s, again {found['again']:.1f} s")

    refused = gan_train(cluster, tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert "train.workers=64 asks for 64 x CPU; the cluster has 3 in 3 nodes; train.workers=3 fits" in refused.stderr
    assert not {"shards", "runs"} & {path.name for path in (tmp_path / "store").iterdir()}

    nodes, late = ended(begin(cluster, "", 5, "1"))[0]
    assert nodes == 3
    assert late == "train.workers=5: the autoscaler started no room for 5 x 1 CPU within 1 s; the cluster has 3 CPUs"
    waiting = begin(cluster, "", 4, "100")
    cluster.add()
    assert ended(waiting)[0] == [4, None]


def gan_train(cluster: Nodes, folder: Path) -> subprocess.CompletedProcess[str]:
    """`gan train` of more workers than the cluster has room for."""
    profile = folder / "cluster.yaml"
    profile.write_text(f"workers: 64\nray: {{address: '{cluster.address}'}}\n")
    command = [*GAN, "train", EXPERIMENT, "--store", str(folder / "store"), "--profile", str(profile)]
    return subprocess.run(command, env=cluster.environment(), capture_output=True, text=True, timeout=120)
