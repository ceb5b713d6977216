"""What Prefect costs around the work, on a standing server with PostgreSQL, as JSON lines.

    python benchmarks/scheduling.py [--experiment configs/digits.yaml] [--set a.b=c] [--times 3]

scheduled_nothing_new: from when a run is due until it is Completed, where nothing is new, and the most memory that its
process had.  orchestration: what `gan run` of an experiment takes besides its stages' work, workers placed and all;
beside it the whole of an empty flow of three tasks of plain Prefect on the same server, by turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from demo import hardware, seconds_until_training, timed  # the script beside this one
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled

from gan_core.manifest import tool_versions
from gan_core.store import Store

SCRIPT = Path(__file__).parents[1] / "infra" / "local" / "prefect.sh"
GAN = (sys.executable, "-m", "pipelines.cli")
LOOK_S = 0.05
LIMIT_S = 300.0
AHEAD = timedelta(seconds=5)  # so that the runner has seen the run before it is due
# without fd_domain while training: the network that measures it is made, which is work, before workers are placed
SMALL = ("train.images=20480", "publish.gate={}", "train.fd_samples=0")
EMPTY_FLOW = """
from prefect import flow, task
@task
def first() -> int: return 1
@task
def second(before: int) -> int: return before + 1
@task
def third(before: int) -> int: return before + 1
@flow
def empty() -> int: return third(second(first()))
empty()
"""


class LocalServer:
    """infra/local/prefect.sh with a home of its own, for as long as the `with` lasts."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/api"
        self._port = port
        self._home = tempfile.TemporaryDirectory(prefix="gan-pf-")
        Path(self._home.name).chmod(0o755)  # PostgreSQL is another user where this one is root

    def __enter__(self) -> LocalServer:
        self.do("start", str(self._port))
        return self

    def __exit__(self, *error: object) -> None:
        self.do("stop")
        self._home.cleanup()

    def do(self, *words: str) -> None:
        """One command of the script."""
        told = {"PREFECT_LOCAL_HOME": f"{self._home.name}/server", "PREFECT_LOCAL_PYTHON": sys.executable}
        subprocess.run([SCRIPT, *words], env={**os.environ, **told}, check=True, stdout=subprocess.DEVNULL)

    def environment(self) -> dict[str, str]:
        """Of a process whose runs are recorded there."""
        return {**os.environ, "PREFECT_API_URL": self.url, "PREFECT_HOME": f"{self._home.name}/client",
                "PREFECT_LOGGING_LEVEL": "CRITICAL", "DO_NOT_TRACK": "1"}

    @contextmanager
    def client(self) -> Iterator[SyncPrefectClient]:
        """Prefect's own."""
        with temporary_settings({PREFECT_API_URL: self.url}), get_client(sync_client=True) as client:
            yield client


def main() -> None:
    """Prints one line a figure."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--experiment", default="configs/digits.yaml")
    cli.add_argument("--set", action="append", default=[])
    cli.add_argument("--times", type=int, default=3)
    cli.add_argument("--port", type=int, default=4250)
    a = cli.parse_args()
    settings = [word for setting in (*SMALL, *a.set) for word in ("--set", setting)]
    with LocalServer(a.port) as server:
        os.environ |= server.environment()
        by_turns = [(around_training([a.experiment, *settings]), empty_flow()) for _ in range(a.times)]
        ours, other = (median(seconds) for seconds in zip(*by_turns, strict=True))
        report("orchestration", ours, "s", other, "an empty flow of three tasks of plain Prefect, same server")
        with tempfile.TemporaryDirectory() as store:
            words = [a.experiment, *settings, "--store", store]
            timed([*GAN, "run", *words, "--json"])
            runs = nothing_new(server, words, a.times)
    report("scheduled_nothing_new", median(seconds for seconds, _ in runs), "s")
    report("scheduled_nothing_new_memory", max(megabytes for _, megabytes in runs), "MB")


def around_training(words: list[str]) -> float:
    """Seconds of `gan run` on an empty store that are no stage's work; placing workers is none."""
    with tempfile.TemporaryDirectory() as folder:
        total, outcome = timed([*GAN, "run", *words, "--store", folder, "--json"])
        placing = seconds_until_training(Store(folder), next(Path(folder).glob("runs/*")))
    work: float = sum(stage["seconds"] for stage in outcome["stages"])
    return total - work + placing


def empty_flow() -> float:
    """Seconds of a process that runs it."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", EMPTY_FLOW], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def nothing_new(server: LocalServer, words: list[str], times: int) -> list[tuple[float, float]]:
    """Seconds from due to Completed, and megabytes, of scheduled runs on a store that holds everything."""
    subprocess.run([*GAN, "deploy", *words], check=True, stdout=subprocess.DEVNULL)
    serving = subprocess.Popen([*GAN, "serve", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with server.client() as client:
            return [one_run(client, serving) for _ in range(times)]
    finally:
        serving.terminate()
        serving.wait(timeout=LIMIT_S)


def one_run(client: SyncPrefectClient, serving: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Has one run be due and follows it to its end."""
    (deployment,) = client.read_deployments()
    due = datetime.now(UTC) + AHEAD
    run = client.create_flow_run_from_deployment(deployment.id, state=Scheduled(scheduled_time=due))
    peak, deadline = 0.0, time.monotonic() + LIMIT_S
    while not (now := client.read_flow_run(run.id)).state or not now.state.is_final():
        assert time.monotonic() < deadline, f"still {now.state_name} after {LIMIT_S:.0f} s"
        peak = max(peak, *(megabytes(child) for child in children(serving.pid)), 0.0)
        time.sleep(LOOK_S)
    assert now.state.is_completed(), now.state
    return now.state.timestamp.timestamp() - due.timestamp(), peak


def children(pid: int) -> list[psutil.Process]:
    """All processes below one."""
    found: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        found = psutil.Process(pid).children(recursive=True)
    return found


def megabytes(process: psutil.Process) -> float:
    """The most memory that a process has had, resident, in millions of bytes."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6
    return 0.0


def report(name: str, value: float, unit: str, other: float | None = None, other_is: str = "") -> None:
    """One figure with what it was measured on."""
    compared: dict[str, Any] = {} if other is None else {
        "other": round(other, 2), "ratio": round(other / value, 2), "other_is": other_is}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    print(json.dumps({
        "name": name, "ours": round(value, 2), **compared, "unit": unit, "commit": commit.stdout.strip(),
        "versions": tool_versions(), "hardware": hardware(), "load": round(os.getloadavg()[0], 1),
    }), flush=True)


if __name__ == "__main__":
    main()
