"""`gan serve-model` as it is started, stopped, and told what it cannot do."""

from __future__ import annotations

import io
import re
import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from gan_core.bundle import read_generator
from gan_core.store import Store
from pipelines.cli import main
from pipelines.models import set_alias
from pipelines.serving.server import bound
from tests.artefacts import finish_run, finish_scores, flip_a_byte, publish_as, publish_one
from tests.serving.process import running


@pytest.mark.slow
def test_it_serves_follows_its_alias_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for number in ("1", "2"):
        run = finish_run(store, f"r{number}", seed=int(number))
        publish_as(store, f"p{number}", run, finish_scores(store, run, f"e{number}"))
    set_alias(store, "digits", "champion", "0001", why="first")
    words = ("digits@champion", "--store", store.url, "--reload-seconds", "0.1", "--max-images", "2000",
             "--max-batch", "50")
    with running(*words) as (url, process, log):
        made = httpx.get(f"{url}/sample?n=4&seed=3&format=npy&token=secret&label=2").status_code
        assert made == 422  # the token is no part of the interface
        made = httpx.get(f"{url}/sample?n=4&seed=3&format=npy&label=2")
        expected = read_generator(store, "models/digits/versions/0001").sample(4, seed=3, label=2)
        np.testing.assert_array_equal(np.load(io.BytesIO(made.content)), expected)
        set_alias(store, "digits", "champion", "0002", why="better")
        while not httpx.get(f"{url}/health").json()["version"].endswith("/0002"):
            assert process.poll() is None
        found: list[httpx.Response] = []
        busy = threading.Thread(target=lambda: found.append(httpx.get(f"{url}/sample?n=2000&format=npy", timeout=60)))
        busy.start()
        while "gan_images_total 0.0" in (metrics := httpx.get(f"{url}/metrics").text) or images(metrics) <= 4:
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        busy.join(60)
    assert np.load(io.BytesIO(found[0].content)).shape == (2000, 1, 8, 8)  # what was under way was answered
    assert log[-1].endswith(" stopped")
    assert any("GET /sample 200" in line for line in log)
    assert "secret" not in "".join(log)


def images(metrics: str) -> float:
    return next(float(line.split()[1]) for line in metrics.splitlines() if line.startswith("gan_images_total "))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, int]:
    """The one line that the command ends with, and its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["serve-model", *words])
    (line,) = capsys.readouterr().err.splitlines()
    assert isinstance(ended.value.code, int)
    return line, ended.value.code


@pytest.mark.parametrize(("words", "said"), [
    (("digts",), "gan: unknown model 'digts' in .*; did you mean 'digits'"),
    (("digits@best",), "gan: digits@best: no such version"),
    (("digits", "--precision", "float16"), "gan: --precision float16: .*; --precision float64 works"),
    (("digits", "--max-batch", "0"), "gan: --max-batch 0: .*; --max-batch 16 works"),
    (("digits", "--reload-seconds", "0"), "gan: --reload-seconds 0: .*; --reload-seconds 10 works"),
    (("digits", "--host", "192.0.2.1"), "gan: --host 192.0.2.1: is no address of this machine; --host 127.0.0.1 works"),
    (("digits", "--port", "70000"), "gan: --port 70000: ports go to 65535; --port 8000 works"),
])
def test_what_cannot_be_served_is_one_line(
    published: Store, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    line, code = refused(capsys, *words, "--store", published.url, *(() if "--port" in words else ("--port", "0")))
    assert code == 2
    assert re.match(said, line), line


def test_a_port_in_use_is_named_with_advice(published: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        line, code = refused(capsys, "digits", "--store", published.url, "--port", port)
    assert (line, code) == (f"gan: --port {port}: another program listens there; name another one, or --port 0 for one "
                            "that is free", 2)


def test_a_damaged_version_is_not_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "store")
    publish_one(store)
    flip_a_byte(store, "models/digits/versions/0001/generator.safetensors")
    line, code = refused(capsys, "digits", "--store", store.url, "--port", "0")
    assert (line.startswith("gan: file://"), "generator.safetensors" in line, code) == (True, True, 1)


def test_answers_leave_without_nagles_delay() -> None:
    """asyncio takes it off the connections of a socket that knows its protocol."""
    with bound("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP
