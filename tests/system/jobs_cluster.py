"""A Ray cluster that takes jobs, on this machine: a head with a token, ports and a folder of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.pipeline import free_port, kill_tree
from tests.system.nodes import RAY

START_S = 120.0


@dataclass
class Head:
    """One node of two CPUs with the Jobs API.  code: the folder of the gan-pipelines that is installed there."""

    code: Path = field(default_factory=Path.cwd)
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(5)])
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    process: subprocess.Popen[bytes] | None = None
    folder: str = ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.ports[1]}"

    @property
    def secret(self) -> dict[str, str]:
        """What lets a process ask the cluster."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}

    def start(self) -> None:
        """Returns when it answers.  After a kill the cluster is a new one at the same address, which knows no job."""
        self.folder = tempfile.mkdtemp(prefix="gan-ray-")  # short: Ray makes sockets below it
        gcs, dashboard, agent, agent_grpc, client = self.ports
        command = [
            RAY, "start", "--head", "--block", f"--port={gcs}", "--node-ip-address=127.0.0.1", "--num-cpus=2",
            "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}",
            f"--dashboard-agent-grpc-port={agent_grpc}", f"--ray-client-server-port={client}",
            f"--object-store-memory={128 * 2**20}", f"--temp-dir={self.folder}",
        ]
        environment = {
            **os.environ, **self.secret, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(self.code),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, env=environment, **quiet)
        deadline = time.monotonic() + START_S
        while True:
            with suppress(OSError):
                self._ask("version")
                return
            assert self.process.poll() is None, "the head ended while it started"
            assert time.monotonic() < deadline, "the head did not start"
            time.sleep(0.2)

    def kill(self) -> None:
        """A power cut: SIGKILL to all that runs there, jobs and workers too."""
        if self.process is not None:
            kill_tree(self.process)
            self.process = None
            shutil.rmtree(self.folder, ignore_errors=True)

    def jobs(self, stage: str) -> dict[int, str]:
        """The status of each job of a stage, by its number."""
        found = [job for job in self._ask("jobs/") if f"-{stage}-" in (job["submission_id"] or "")]
        return {int(job["submission_id"].rpartition("-")[2]): job["status"] for job in found}

    def everything_told(self) -> str:
        """All that the cluster tells of its jobs, and what it wrote to its folder's logs of them."""
        logs = Path(self.folder, "session_latest", "logs")
        written = [file.read_text(errors="replace") for file in logs.glob("job-driver-*.log")]
        return json.dumps(self._ask("jobs/")) + "".join(written)

    def _ask(self, what: str) -> Any:
        shows = {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(f"{self.address}/api/{what}", headers=shows)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
