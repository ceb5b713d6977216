"""The automations on a real server: a run whose process was killed is closed, others are left alone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from prefect.blocks.notifications import SlackWebhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolCreate
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from gan_core.config import load_experiment
from gan_core.errors import ConfigError
from pipelines.automations import automations, ensure_automations, late_automation
from pipelines.deploy import apply, registered, wanted_deployment
from pipelines.heartbeats import HEARTBEATS
from pipelines.profile import Profile
from tests.system.prefect_server import PrefectServer

pytestmark = pytest.mark.system

WINDOW_S = 10  # the least that Prefect allows
BUSY = """
import sys, time
from prefect import flow, tags
@flow(name="busy")
def busy() -> None: time.sleep(300)
with tags(sys.argv[1]): busy()
"""


@pytest.fixture
def client(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: prefect_server.url}), get_client(sync_client=True) as made:
        yield made


def wait_until(found: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.5)


def heartbeats(client: SyncPrefectClient) -> int:
    """How many the server has written down; a filter looks no further than when it was made."""
    wanted = EventFilter(event=EventNameFilter(name=["prefect.flow-run.heartbeat"]))
    return client.read_events(wanted, limit=50).total


def test_registering_twice_changes_nothing_and_keeps_what_an_operator_switched_off(client: SyncPrefectClient) -> None:
    assert len(ensure_automations(client, automations(), dry_run=True)) == 2
    assert client.read_automations() == []
    assert [line.rpartition(" ")[2] for line in ensure_automations(client, automations())] == ["made", "made"]
    assert ensure_automations(client, automations()) == []
    (never_began,) = client.read_automations_by_name("gan-pipelines: never began")
    client.pause_automation(never_began.id)
    assert len(ensure_automations(client, automations(begin_s=60))) == 1
    (changed,) = client.read_automations_by_name("gan-pipelines: never began")
    assert (changed.id, changed.enabled) == (never_began.id, False)
    assert len(client.read_automations()) == 2


def test_a_run_whose_process_was_killed_is_crashed_and_a_stranger_s_is_not_touched(
    client: SyncPrefectClient, prefect_server: PrefectServer
) -> None:
    ensure_automations(client, automations(window_s=WINDOW_S))
    environment = prefect_server.client().environment() | HEARTBEATS
    killed = [subprocess.Popen([sys.executable, "-c", BUSY, tag], env=environment, stderr=subprocess.DEVNULL)
              for tag in ("gan-pipelines", "strangers")]
    try:
        wait_until(lambda: heartbeats(client) == len(killed), 60)
    finally:
        for process in killed:
            process.kill()
            process.wait()
    ours, theirs = (next(run.id for run in client.read_flow_runs() if tag in run.tags)
                    for tag in ("gan-pipelines", "strangers"))

    wait_until(lambda: client.read_flow_run(ours).state_type == "CRASHED", 30)
    assert f"no heartbeat for {WINDOW_S} s" in str(client.read_flow_run(ours).state)
    assert client.read_flow_run(theirs).state_type == "RUNNING"


def test_a_work_pool_s_processes_send_heartbeats_as_ours_do(client: SyncPrefectClient) -> None:
    client.create_work_pool(WorkPoolCreate(name="gans", type="process"))
    wanted = wanted_deployment(load_experiment("configs/digits.yaml"), Profile(), "/somewhere", pool="gans")
    made = apply(client, None, wanted)
    assert client.read_deployment(made).job_variables == {"env": HEARTBEATS}
    client.update_deployment(made, DeploymentUpdate(job_variables={"image": "theirs", "env": {"THEIRS": "1"}}))
    apply(client, registered(client, wanted.name), wanted)
    assert client.read_deployment(made).job_variables == {"image": "theirs", "env": {"THEIRS": "1", **HEARTBEATS}}


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # which Prefect's block imports
def test_late_runs_are_told_through_a_block_that_the_operator_names(client: SyncPrefectClient) -> None:
    SlackWebhook(url=SecretStr("http://127.0.0.1:1/nobody")).save("operators")
    late = late_automation(client, "slack-webhook/operators")
    assert ensure_automations(client, [late]) == ["automation 'gan-pipelines: late': made"]
    assert ensure_automations(client, [late]) == []


def test_a_notification_block_that_is_not_there_is_told(client: SyncPrefectClient) -> None:
    with pytest.raises(ConfigError, match="GAN_LATE_BLOCK=slack-webhook/nobody: the Prefect server has no such block"):
        late_automation(client, "slack-webhook/nobody")
