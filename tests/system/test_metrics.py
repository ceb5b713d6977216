"""A run on a real cluster, as Prometheus and a collector of logs see it."""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.training_metrics import GAUGES
from tests.pipeline import free_port
from tests.system.nodes import Nodes
from tests.system.training import Training, store_in

pytestmark = pytest.mark.system
ENDLESS = {"images": 10**9, "checkpoint_every": 1280, "report_every": 640}
UNTOLD = {"gan_fd"}  # nothing measures it here
Found = dict[str, list[dict[str, str]]]


@pytest.fixture
def watched() -> Iterator[tuple[Nodes, int, Path]]:
    """A cluster of one node that logs JSON, the port of its metrics, and its folder."""
    cluster, port, folder = Nodes(), free_port(), Path(tempfile.mkdtemp(prefix="gan-ray-"))
    try:
        cluster.add(f"--metrics-export-port={port}", f"--temp-dir={folder}", RAY_metrics_report_interval_ms="1000",
                    GAN_LOG="json")
        yield cluster, port, folder
    finally:
        cluster.end()
        shutil.rmtree(folder, ignore_errors=True)


def metrics_at(port: int) -> Found:
    """The labels of every value of ours, by its metric."""
    found: Found = {}
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        for family in text_string_to_metric_families(answer.read().decode()):
            for sample in family.samples:
                if sample.name.startswith("ray_gan_"):
                    found.setdefault(sample.name.removeprefix("ray_"), []).append(sample.labels)
    return found


def logged(folder: Path) -> list[dict[str, Any]]:
    """The events that workers wrote to the node's logs."""
    lines = (line for file in folder.glob("session_2*/logs/worker-*.err")
             for line in file.read_text(errors="replace").splitlines())
    return [json.loads(line) for line in lines if line.startswith('{"time": ')]


def test_prometheus_and_a_collector_of_logs_see_a_run(watched: tuple[Nodes, int, Path], tmp_path: Path) -> None:
    cluster, port, folder = watched
    profile = {"ray": {"address": cluster.address}}
    with Training(store_in(tmp_path), ENDLESS, profile, cluster.environment()) as training:
        training.until(lambda: set(metrics_at(port)) == set(GAUGES) - UNTOLD, "of its metrics")
        found = metrics_at(port)
        status, _ = training.stopped()
    assert status == 143
    about = {"experiment": "tiny", "stage_key": "k", "attempt": "1", "rank": "0"}
    for name, each in found.items():
        assert all(about.items() <= labels.items() for labels in each), name
    assert {labels["name"] for labels in found["gan_loss"]} == {"discriminator", "generator"}
    events = logged(folder)
    assert {"started", "began", "progress", "checkpoint", "uploaded", "ended"} <= {event["event"] for event in events}
    assert {(event["experiment"], event["stage"], event["stage_key"], event["rank"]) for event in events} == {
        ("tiny", "train", "k", 0)}
