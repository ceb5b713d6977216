"""`gan serve-model --replicas`: several processes behind Ray Serve answer as one does."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import httpx
import numpy as np
import psutil
import pytest

from gan_core.bundle import read_generator
from gan_core.errors import ConfigError
from gan_core.store import Store
from pipelines.cli import main
from pipelines.models import set_alias
from pipelines.serving.on_ray_serve import refuse_too_many
from tests.artefacts import finish_run, finish_scores, publish_as
from tests.pipeline import GAN, free_port

pytestmark = pytest.mark.system

REPLICAS = 2


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two versions, of which the first is champion."""
    made = Store(tmp_path_factory.mktemp("served") / "store")
    for number in ("1", "2"):
        run = finish_run(made, f"r{number}", seed=int(number))
        publish_as(made, f"p{number}", run, finish_scores(made, run, f"e{number}"))
    set_alias(made, "digits", "champion", "0001", why="first")
    return made


@pytest.fixture(scope="module")
def serving(store: Store) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The URL, once it answers, and the process of the command."""
    port = free_port()
    process = subprocess.Popen(
        [*GAN, "serve-model", "digits@champion", "--store", store.url, "--port", str(port), "--replicas",
         str(REPLICAS), "--reload-seconds", "0.5"], stderr=subprocess.PIPE, text=True, env=os.environ)
    assert process.stderr is not None
    said = next(line for line in process.stderr if " serves " in line)
    assert re.search(rf"http://127\.0\.0\.1:{port} serves digits@champion with {REPLICAS} replicas", said)
    yield f"http://127.0.0.1:{port}", process
    process.kill()
    process.wait()
    process.stderr.close()


def versions(url: str) -> set[str]:
    """That answer ten requests."""
    return {httpx.get(f"{url}/health").json()["version"][-4:] for _ in range(10)}


def replicas() -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if "ServeReplica" in " ".join(one.info["cmdline"] or ())]


def test_the_pixels_are_those_of_the_generator(serving: tuple[str, object], store: Store) -> None:
    made = httpx.get(f"{serving[0]}/sample?n=4&seed=3&format=npy&label=2")
    expected = read_generator(store, "models/digits/versions/0001").sample(4, seed=3, label=2)
    np.testing.assert_array_equal(np.load(io.BytesIO(made.content)), expected)
    assert httpx.get(f"{serving[0]}/sample?n=65").status_code == 400
    assert httpx.post(f"{serving[0]}/sample", content=bytes(70_000)).status_code == 413


def test_every_replica_follows_the_alias(serving: tuple[str, object], store: Store) -> None:
    assert versions(serving[0]) == {"0001"}
    set_alias(store, "digits", "champion", "0002", why="better")
    deadline = time.monotonic() + 60
    while versions(serving[0]) != {"0002"}:
        assert time.monotonic() < deadline


def test_a_replica_that_dies_is_started_again(serving: tuple[str, object]) -> None:
    before = replicas()
    assert len(before) == REPLICAS
    before[0].kill()
    deadline = time.monotonic() + 120
    while len(now := replicas()) < REPLICAS or before[0].pid in [one.pid for one in now]:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    while httpx.get(f"{serving[0]}/sample?n=1").status_code != 200:
        assert time.monotonic() < deadline


def test_it_ends_when_it_is_told_to(serving: tuple[str, subprocess.Popen[str]]) -> None:
    serving[1].send_signal(signal.SIGTERM)
    assert serving[1].wait(timeout=120) == 0
    assert replicas() == []


@pytest.mark.parametrize(("words", "said"), [
    (("digts", "--replicas", "2"), "unknown model 'digts'"),
    (("digits", "--replicas", "2", "--port", "0"), "--port 0: .*; --port 8000 works"),
    (("digits", "--profile", "local"), "--profile local: .*; --replicas 2 starts two there"),
])
def test_what_cannot_be_served_is_told_before_anything_starts(
    store: Store, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve-model", *words, "--store", store.url])
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert re.match(f"gan: {said}", line), line


def test_a_port_in_use_is_told_before_anything_starts(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with pytest.raises(SystemExit) as ended:
            main(["serve-model", "digits", "--store", store.url, "--replicas", "1", "--port", port])
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert line.startswith(f"gan: --port {port}: another program listens there; name another one")


def test_more_replicas_than_the_cluster_has_cpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 2.0})
    refuse_too_many(2)
    with pytest.raises(ConfigError, match="--replicas 3: each needs a CPU, and the cluster has 2; --replicas 2 works"):
        refuse_too_many(3)
