"""A real Prefect server on PostgreSQL for tests, by infra/local/prefect.sh."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pipeline import Prefect, free_port

SCRIPT = Path(__file__).parents[2] / "infra" / "local" / "prefect.sh"


@dataclass(frozen=True)
class PrefectServer:
    """A server that may be killed and started again; settings: of the server, as its environment says them."""

    url: str
    home: Path
    settings: dict[str, str]

    def kill(self) -> None:
        """SIGKILL to Prefect's server; PostgreSQL stays."""
        self._do("kill-server")

    def start(self) -> None:
        """The same port and database again; returns when it answers."""
        self._do("restart-server")

    def client(self) -> Prefect:
        """What a process needs to record its runs there."""
        return Prefect(self.home / "client", self.url)

    def _do(self, *words: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        told = kept | self.settings | {"PREFECT_LOCAL_HOME": str(self.home / "server"),
                                       "PREFECT_LOCAL_PYTHON": sys.executable}
        done = subprocess.run([SCRIPT, *words], env=told, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr


@contextmanager
def server(**settings: str) -> Iterator[PrefectServer]:
    """A new one with an empty database; nothing of it is left afterwards."""
    port = free_port()
    home = Path(tempfile.mkdtemp(prefix="pf-"))  # sockets have paths of a hundred characters at most
    home.chmod(0o755)  # PostgreSQL runs as another user where the tests run as root
    made = PrefectServer(f"http://127.0.0.1:{port}/api", home, settings)
    try:
        made._do("start", str(port))
        yield made
    finally:
        made._do("stop")
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def prefect_server() -> Iterator[PrefectServer]:
    """One for the tests of a file."""
    with server() as made:
        yield made
