"""Servers that listen: in a thread of the test, and as the command."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn

from gan_core.bundle import Generator
from gan_core.store import Store
from pipelines.serving.app import make_app
from pipelines.serving.limits import Limits
from pipelines.serving.reload import Source
from pipelines.serving.server import bound
from tests.pipeline import GAN


@contextmanager
def listening(store: Store, generator: Generator, address: str = "digits@1") -> Iterator[str]:
    """The URL of a server in a thread, which ends with the block."""
    app = make_app(Source(address, store), generator, Limits())
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    at: socket.socket = bound("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [at]})
    thread.start()
    while not server.started:
        assert thread.is_alive()
    try:
        yield f"http://127.0.0.1:{at.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=60)


@contextmanager
def running(*words: str) -> Iterator[tuple[str, subprocess.Popen[str], list[str]]]:
    """`gan serve-model` with these arguments, once it listens: its URL, its process, and its log so far."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*GAN, "serve-model", *words, "--port", "0"], stderr=subprocess.PIPE, text=True,
                               env=environment)
    assert process.stderr is not None
    log: list[str] = []
    for line in process.stderr:
        log.append(line.rstrip())
        if found := re.search(r"(http://\S+) serves", line):
            break
    else:
        raise AssertionError(log)
    reading = threading.Thread(target=lambda: log.extend(line.rstrip() for line in process.stderr or ()))
    reading.start()
    try:
        wait_until_it_answers(found[1])
        yield found[1], process, log
    finally:
        process.kill()
        process.wait()
        reading.join()
        process.stderr.close()


def wait_until_it_answers(url: str) -> None:
    """The line in the log comes just before."""
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{url}/ready").raise_for_status()
            return
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
