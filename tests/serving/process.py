"""Servers that listen: in a thread of the test, and as the command."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from gan_core.bundle import Generator
from gan_core.store import Store
from pipelines.serving.app import make_app
from pipelines.serving.limits import Limits
from pipelines.serving.reload import Source
from pipelines.serving.server import bound


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
    yield f"http://127.0.0.1:{at.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=60)
