"""The local Prefect server: it records runs on PostgreSQL, and a killed one comes back with all that it knew."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests.system.prefect_server import PrefectServer

pytestmark = pytest.mark.system

FLOW = """
from prefect import flow
@flow(name="kept")
def kept() -> None: pass
kept()
"""


def flow_runs(server: PrefectServer) -> list[str]:
    """The types of the states of all flow runs."""
    asked = urllib.request.Request(f"{server.url}/flow_runs/filter", b"{}", {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return [run["state_type"] for run in json.load(answer)]


def test_a_server_that_was_killed_still_knows_its_runs(prefect_server: PrefectServer) -> None:
    environment = prefect_server.client().environment()
    subprocess.run([sys.executable, "-c", FLOW], env=environment, check=True, timeout=120, capture_output=True)
    prefect_server.kill()
    with pytest.raises(urllib.error.URLError):
        flow_runs(prefect_server)
    prefect_server.start()
    assert flow_runs(prefect_server) == ["COMPLETED"]
