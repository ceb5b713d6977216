"""Running `gan` as an operator does, and killing it as an operator's machine does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipelines.server import QUIET

EXPERIMENT = "configs/digits.yaml"
SMALL = (
    "train.images=20480",
    "train.ema_half_life=2000",
    "train.checkpoint_every=2048",
    "train.report_every=1024",
    "publish.gate={}",
)
GAN = (sys.executable, "-m", "pipelines.cli")


@dataclass(frozen=True)
class Prefect:
    """A Prefect home of the tests' own, and the server to record runs on: a temporary one for each run when None."""

    home: Path
    server: str | None = None

    def environment(self) -> dict[str, str]:
        """This process's environment with that home and server."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        configured = {"PREFECT_API_URL": self.server} if self.server else {}
        return {**kept, **QUIET, "PREFECT_HOME": str(self.home), **configured}


def settings(*overrides: str) -> list[str]:
    """--set for each; the small run's own come first."""
    return [word for override in (*SMALL, *overrides) for word in ("--set", override)]


def gan(prefect: Prefect, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs `gan` to its end."""
    command = [*GAN, *map(str, words)]
    return subprocess.run(command, env=prefect.environment(), capture_output=True, text=True, timeout=400)


def run_until(prefect: Prefect, store: Path, ready: Callable[[], bool], *overrides: str) -> None:
    """Starts `gan run` and SIGKILLs its whole process tree as soon as `ready` says so."""
    command = [*GAN, "run", EXPERIMENT, "--store", str(store), *settings(*overrides)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=prefect.environment(), **quiet)
    deadline = time.monotonic() + 300
    try:
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("gan run ended before it could be killed")
            time.sleep(0.002)
    finally:
        kill_tree(process)


def interrupt_once(prefect: Prefect, store: Path, ready: Callable[[], bool], *overrides: str) -> tuple[int, str]:
    """Starts `gan run`, presses Ctrl-C when `ready` says so, and returns its exit status and what it said."""
    command = [*GAN, "run", EXPERIMENT, "--store", str(store), *settings(*overrides)]
    process = subprocess.Popen(
        command, env=prefect.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while not ready() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the foreground group
    said = process.communicate(timeout=120)[1].decode()
    return process.returncode, said


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and all that it started, until none is left."""
    try:
        tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        tree = []
    for member in tree:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait(timeout=60)
    psutil.wait_procs(tree, timeout=60)


def only(folder: Path) -> Path:
    """The one thing in a folder."""
    (found,) = (path for path in folder.iterdir() if not path.name.startswith("."))
    return found


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_server(prefect: Prefect) -> None:
    """Until a Prefect server answers."""
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"{prefect.server}/health", timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline, "the Prefect server did not start"
            time.sleep(0.2)


def ask(prefect: Prefect, what: str) -> list[dict[str, Any]]:
    """What a Prefect server lists."""
    request = urllib.request.Request(f"{prefect.server}/{what}", b"{}", {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        listed: list[dict[str, Any]] = json.load(answer)
    return listed


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it holds within half a minute: a server records tasks from events, after the run."""
    deadline = time.monotonic() + 30
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.5)
    return holds()
