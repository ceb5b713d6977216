"""A server's process: its port, its log, and its end."""

from __future__ import annotations

import errno
import gc
import logging
import signal
import socket
import sys

import uvicorn
from fastapi import FastAPI

from gan_core.errors import ConfigError

LOG = logging.getLogger("pipelines.serving")
MOST_PORTS = 65_535


def bound(host: str, port: int) -> socket.socket:
    """A socket at that address, which nobody can connect to yet.  ConfigError when it cannot be had."""
    if not 0 <= port <= MOST_PORTS:
        raise ConfigError(f"--port {port}: ports go to {MOST_PORTS}; --port 8000 works, and --port 0 takes a free one")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)  # without the protocol asyncio leaves Nagle's delay, 40 ms, on
    except OSError as error:
        raise ConfigError(_advice(host, port, error)) from None
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that just ended leaves the port waiting
        found.bind(address)
    except OSError as error:
        found.close()
        raise ConfigError(_advice(host, port, error)) from None
    return found


def _advice(host: str, port: int, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"--host {host}: {error.strerror}; --host 127.0.0.1 works, and --host 0.0.0.0 for every network"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host}: is no address of this machine; --host 127.0.0.1 works, and 0.0.0.0 for every network"
    why = {errno.EADDRINUSE: "another program listens there",
           errno.EACCES: "ports below 1024 are the administrator's"}.get(error.errno or 0, str(error))
    return f"--port {port}: {why}; name another one, or --port 0 for one that is free"


def serve(app: FastAPI, listening: socket.socket, finish: float) -> None:
    """Answers until SIGTERM or Ctrl-C; then takes no more, and gives what is under way `finish` seconds to end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises what it heard again when it has ended: that is an end
    gc.collect()
    gc.freeze()  # torch's hundred thousands of objects stay; looking through them for garbage held up answers
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False,
                            timeout_graceful_shutdown=max(1, round(finish)))
    uvicorn.Server(config).run(sockets=[listening])
    LOG.info("stopped")


def log_to_stderr() -> None:
    """One plain line for each request and each event of this server; of uvicorn, what goes wrong."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    LOG.addHandler(lines)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    wrong = logging.getLogger("uvicorn.error")
    wrong.addHandler(lines)
    wrong.setLevel(logging.WARNING)
