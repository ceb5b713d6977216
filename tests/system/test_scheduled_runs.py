"""A deployment on a real Prefect server: its clock starts runs, and whatever is killed, none of them is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from httpx import HTTPError
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from tests.pipeline import EXPERIMENT, GAN, gan, kill_tree, settings
from tests.system.prefect_server import PrefectServer

pytestmark = pytest.mark.system
TINY = settings("train.images=8192", "train.workers=1", "model.width=8", "train.checkpoint_every=1024")


@contextmanager
def serving(server: PrefectServer, store: Path) -> Iterator[subprocess.Popen[str]]:
    """`gan serve`, and no process of it left afterwards."""
    command = [*GAN, "serve", EXPERIMENT, "--store", str(store), *TINY]
    with subprocess.Popen(command, env=server.client().environment(), stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            for run in runs(server):
                with_pid = (run.infrastructure_pid or "").rpartition(":")[2]
                if run.state_name == "Running" and with_pid:
                    os.kill(int(with_pid), signal.SIGKILL)
            kill_tree(process)  # type: ignore[arg-type]


def runs(server: PrefectServer) -> list[FlowRun]:
    """Those that have begun, in the order of their times."""
    with temporary_settings({PREFECT_API_URL: server.url, PREFECT_CLIENT_MAX_RETRIES: 0}), \
            get_client(sync_client=True) as client:
        found = client.read_flow_runs(limit=200)
    begun = [run for run in found if run.run_count]
    return sorted(begun, key=lambda run: run.expected_start_time)  # type: ignore[arg-type, return-value]


def until(ready: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if ready():
                return
        except HTTPError:
            pass  # the server is away
        assert time.monotonic() < deadline
        time.sleep(0.3)


def names(server: PrefectServer) -> list[str]:
    return [str(run.state_name) for run in runs(server)]


def test_a_killed_run_and_a_killed_server_lose_nothing(prefect_server: PrefectServer, tmp_path: Path) -> None:
    store, prefect = tmp_path / "store", prefect_server.client()
    done = gan(prefect, "deploy", EXPERIMENT, "--store", store, "--interval", "10s", *TINY)
    assert done.returncode == 0, done.stderr
    with serving(prefect_server, store) as service:
        until(lambda: list(store.glob("runs/*/checkpoints/*/MANIFEST.json")))
        (first,) = [run for run in runs(prefect_server) if run.state_name == "Running"]
        os.kill(int(str(first.infrastructure_pid).rpartition(":")[2]), signal.SIGKILL)
        until(lambda: "AwaitingRetry" in names(prefect_server))
        until(lambda: "Running" in names(prefect_server))
        time.sleep(3)  # a server that is killed forgets the events of its last moments
        prefect_server.kill()
        time.sleep(5)
        prefect_server.start()
        until(lambda: {"Completed", "Nothing new"} <= set(names(prefect_server)))
        until(lambda: [run.state_name for run in runs(prefect_server) if run.id == first.id and run.run_count == 2
                       and run.state is not None and run.state.is_completed()])
        service.send_signal(signal.SIGTERM)
        assert service.wait(timeout=150) == 143
        assert "Running" not in names(prefect_server)
        said = service.stderr.read() if service.stderr else ""
    assert len(list(store.glob("models/digits/versions/*/MANIFEST.json"))) == 1
    assert "ended by SIGKILL" in said
    assert said.count("does not answer") == 1
    assert "answers again" in said
