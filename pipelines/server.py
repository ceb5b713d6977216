"""Which Prefect server a run is recorded on: one that is configured, or a temporary one for this run alone.

The temporary server is Prefect's own application under uvicorn in a process of its own, started before this process
imports Prefect, so that the two imports overlap; Prefect's built-in way imports the server here as well and waits.
It ends with this process however that ends: it watches a pipe that the kernel closes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gan_core.errors import WorkersFailed

START_TIMEOUT_S = 120.0
QUIET = {
    "PREFECT_LOGGING_LEVEL": "CRITICAL",  # errors come from the command line in one line, not as tracebacks
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
SERVER = {
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT_UI_ENABLED": "0",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # on SQLite its writes can lock out the run's
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
}
PROGRAM = """
import os, sys, threading, uvicorn
def end_with_parent():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=end_with_parent, daemon=True).start()
uvicorn.run("prefect.server.api.server:create_app", factory=True, host="127.0.0.1", port=int(sys.argv[1]),
            log_level="error", lifespan="on")
"""


@dataclass(frozen=True)
class TemporaryServer:
    """A Prefect server on loopback that lives as long as this process."""

    url: str
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    @staticmethod
    def start() -> TemporaryServer:
        """Starts it and points this process's Prefect at it; returns at once."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        log = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as the server writes to it
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(port)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**SERVER, **os.environ},
            start_new_session=True,  # Ctrl-C is for the run, which still has an end to record
        )
        url = f"http://127.0.0.1:{port}/api"
        os.environ["PREFECT_API_URL"] = url
        return TemporaryServer(url, process, log)

    def wait(self) -> None:
        """Until it answers.  WorkersFailed with its last words when it ends or stays silent."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        self.log.seek(0)
        words = self.log.read().decode(errors="replace").strip().splitlines()
        raise WorkersFailed(f"the temporary Prefect server did not start: {words[-1] if words else 'no reason given'}; "
                       "try again, or set PREFECT_API_URL to a server that runs")


def check_server(url: str) -> None:
    """WorkersFailed when nothing answers at a configured server's URL; any answer will do, Prefect reads the rest."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=10):
            return
    except urllib.error.HTTPError:
        return
    except (OSError, ValueError) as error:
        raise WorkersFailed(f"no Prefect server answers at {url}: {getattr(error, 'reason', error)}; start it, or "
                            "unset PREFECT_API_URL to run with a temporary one") from None


def configured_server() -> str | None:
    """The URL of the Prefect server that runs are recorded on, from the environment or Prefect's active profile."""
    url = os.environ.get("PREFECT_API_URL")
    if url:
        return url
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    path = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml"))
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return None
    active = os.environ.get("PREFECT_PROFILE", profiles.get("active", ""))
    found = profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL")
    return str(found) if found else None
