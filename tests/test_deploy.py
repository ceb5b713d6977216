"""Deployments on a Prefect server: registered once, changed field by field, executed here, and never left Running."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import AwaitingRetry, Cancelled, Cancelling, Completed, Crashed, Failed, Pending, Running, Scheduled
from prefect.utilities.schema_tools.validation import is_valid_schema, validate

from gan_core.config import Experiment, load_experiment
from gan_core.errors import ConfigError
from gan_core.store import Store
from pipelines import flow_processes, flow_runs
from pipelines.attempt import mark_lost
from pipelines.cli import main
from pipelines.deploy import apply, changes, check_pool, parameter_schema, registered, wanted_deployment
from pipelines.flow_processes import FlowProcess
from pipelines.flow_runs import close_holders_run, close_lost, runs_due, settle, take
from pipelines.interrupt import StopSignals
from pipelines.lock import ExperimentLock
from pipelines.profile import Profile
from pipelines.records import RunRecord, read_record, write_record
from pipelines.serve_runs import Service
from tests.pipeline import EXPERIMENT, Prefect, gan

Make = Callable[..., Experiment]
CONFIGS = sorted(Path("configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_form_that_prefect_shows_takes_what_the_file_says(path: Path) -> None:
    wanted = wanted_deployment(load_experiment(path), Profile(), "s3://bucket/gans")
    schema = parameter_schema(wanted.experiment)
    is_valid_schema(schema)
    assert not validate(wanted.parameters, schema)


@pytest.mark.parametrize(("block", "field", "value"), [
    ("train", "images", -1), ("train", "imgaes", 5), ("schedule", "overlapping", "both"),
    ("schedule", "interval", "soon"), ("data", "source", "nothing"),
])
def test_the_form_refuses_what_the_file_would(experiment: Make, block: str, field: str, value: object) -> None:
    wanted = wanted_deployment(experiment(), Profile(), "s3://bucket/gans")
    parameters = wanted.parameters
    parameters["experiment"][block][field] = value
    assert validate(parameters, parameter_schema(wanted.experiment))


def test_a_store_within_one_process_is_refused(experiment: Make) -> None:
    with pytest.raises(ConfigError, match="lives in one process, and runs have their own; --store"):
        wanted_deployment(experiment(), Profile(), "memory://gans")


def test_a_relative_store_is_the_same_wherever_a_run_is_executed(experiment: Make) -> None:
    wanted = wanted_deployment(experiment(), Profile(), "some/store")
    assert wanted.parameters["store"] == f"file://{Path.cwd()}/some/store"


def test_without_a_server_there_is_one_line_with_advice(embedded: Prefect) -> None:
    done = gan(embedded, "deploy", EXPERIMENT)
    assert done.returncode == 2
    assert "no Prefect server is configured" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def client(served: Prefect) -> Iterator[SyncPrefectClient]:
    with (
        pytest.MonkeyPatch.context() as patch,
        temporary_settings({PREFECT_API_URL: served.server}),
        get_client(sync_client=True) as made,
    ):
        patch.setenv("PREFECT_API_URL", served.server or "")
        yield made


@pytest.fixture
def tiny(experiment: Make, request: pytest.FixtureRequest) -> Make:
    """The tiny experiment by a name of the test's own."""
    name = f"tiny-{sha256(request.node.nodeid.encode()).hexdigest()[:8]}"
    return lambda **overrides: experiment(name=name, **overrides)


@pytest.fixture
def deployment(client: SyncPrefectClient, tiny: Make, tmp_path: Path) -> UUID:
    return apply(client, None, wanted_deployment(tiny(), Profile(), str(tmp_path)))


@pytest.mark.slow
def test_deploying_again_changes_nothing_and_deploying_otherwise_keeps_the_id(
    client: SyncPrefectClient, deployment: UUID, tiny: Make, tmp_path: Path
) -> None:
    same = wanted_deployment(tiny(), Profile(), str(tmp_path))
    now = registered(client, same.name)
    assert now is not None
    assert changes(now, same) == []
    nightly = tiny(seed=3, schedule={"cron": "0 2 * * *", "timezone": "Europe/Berlin"})
    other = wanted_deployment(nightly, Profile(), str(tmp_path), paused=True)
    assert {change.field for change in changes(now, other)} == {
        "experiment.seed", "experiment.schedule.cron", "experiment.schedule.timezone", "schedule", "paused"}
    assert apply(client, now, other) == deployment
    after = registered(client, same.name)
    assert after is not None
    assert changes(after, other) == []
    assert (after.id, after.paused, after.parameters["experiment"]["seed"]) == (deployment, True, 3)


@pytest.mark.slow
def test_a_pause_by_hand_survives_a_deploy_that_does_not_speak_of_it(
    client: SyncPrefectClient, deployment: UUID, tiny: Make, tmp_path: Path
) -> None:
    client.pause_deployment(deployment)
    wanted = wanted_deployment(tiny(seed=4), Profile(), str(tmp_path))
    apply(client, registered(client, wanted.name), wanted)
    assert client.read_deployment(deployment).paused


@pytest.mark.slow
def test_the_command_says_what_would_change_and_changes_nothing(
    client: SyncPrefectClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def deploy(*words: str) -> dict[str, Any]:
        command = ["deploy", EXPERIMENT, "--store", str(tmp_path), "--set", "name=by-command", "--json", *words]
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        return told

    first = deploy("--interval", "6h", "--dry-run")
    assert (first["status"], first["id"], first["schedule"]) == ("created", None, "every 6h")
    made = deploy("--interval", "6h")
    again = deploy("--cron", "0 2 * * *", "--dry-run")
    assert (again["status"], again["id"]) == ("changed", made["id"])
    assert {"field": "schedule", "before": "every 6h", "after": "0 2 * * * (UTC)"} in again["changes"]
    same = deploy("--interval", "6h")
    assert (same["status"], same["id"], same["changes"]) == ("unchanged", made["id"], [])


@pytest.mark.slow
def test_a_work_pool_that_there_is_not_is_refused_with_how_to_make_it(client: SyncPrefectClient) -> None:
    with pytest.raises(ConfigError, match="--pool gpus: no such work pool; there are: none; `prefect work-pool create"):
        check_pool(client, "gpus")


@pytest.mark.slow
def test_the_server_refuses_a_run_with_values_that_do_not_work(client: SyncPrefectClient, deployment: UUID) -> None:
    parameters = client.read_deployment(deployment).parameters
    parameters["experiment"]["train"]["images"] = -1
    with pytest.raises(PrefectHTTPStatusError, match=r"'experiment\.train\.images'"):
        client.create_flow_run_from_deployment(deployment, parameters=parameters)


def triggered(client: SyncPrefectClient, deployment: UUID, scheduled: bool = False) -> FlowRun:
    """A run that is due; scheduled: as the server's scheduler makes it."""
    made = client.create_flow_run_from_deployment(deployment, state=Scheduled(scheduled_time=datetime.now(UTC)))
    return made.model_copy(update={"auto_scheduled": scheduled})


@pytest.mark.slow
def test_of_two_that_want_a_run_one_has_it(client: SyncPrefectClient, deployment: UUID) -> None:
    run = triggered(client, deployment)
    assert [due.id for due in runs_due(client, [deployment])] == [run.id]
    assert [take(client, run), take(client, run)] == [True, False]
    assert runs_due(client, [deployment]) == []


@pytest.mark.slow
def test_a_run_that_had_begun_before_goes_first(client: SyncPrefectClient, deployment: UUID) -> None:
    first, again = triggered(client, deployment), triggered(client, deployment)
    client.set_flow_run_state(again.id, Running(), force=True)
    client.set_flow_run_state(again.id, AwaitingRetry(scheduled_time=datetime.now(UTC)), force=True)
    assert [due.id for due in runs_due(client, [deployment])] == [again.id, first.id]


@pytest.mark.slow
@pytest.mark.parametrize(("at", "stopped", "state", "words"), [
    (Running(), False, "Crashed", "Crashed: Its process ended by SIGKILL"),
    (Pending(), False, "Crashed", "Crashed: Its process ended by SIGKILL"),
    (Running(), True, "AwaitingRetry", "goes on when it is served again"),
    (Cancelling(), False, "Cancelled", "Cancelled"),
    (Completed(name="Nothing new"), False, "Nothing new", "Nothing new"),
    (Failed(message="no such image"), True, "Failed", "Failed: no such image"),
    (Cancelled(), True, "Cancelled", "Cancelled"),
    (AwaitingRetry(), False, "AwaitingRetry", "is to be started again"),
], ids=lambda value: value.name if hasattr(value, "name") else str(value))
def test_what_became_of_a_run_whose_process_is_gone(
    client: SyncPrefectClient, deployment: UUID, at: Any, stopped: bool, state: str, words: str
) -> None:
    run = triggered(client, deployment)
    client.set_flow_run_state(run.id, at, force=True)
    assert words in settle(client, run.id, "ended by SIGKILL", stopped=stopped).words
    assert client.read_flow_run(run.id).state_name == state


@pytest.mark.slow
def test_a_scheduled_run_that_crashed_is_started_again_twice(
    client: SyncPrefectClient, deployment: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_runs, "RESTART_S", (0.0, 0.0))
    read = client.read_flow_run
    monkeypatch.setattr(client, "read_flow_run", lambda id_: read(id_).model_copy(update={"auto_scheduled": True}))
    run, states = triggered(client, deployment), []
    for _ in range(3):
        client.set_flow_run_state(run.id, Running(), force=True)
        settle(client, run.id, "ended by SIGKILL")
        states.append(read(run.id).state_name)
    assert states == ["AwaitingRetry", "AwaitingRetry", "Crashed"]


@pytest.mark.slow
def test_the_run_of_a_dead_holder_is_closed_and_no_other(
    client: SyncPrefectClient, deployment: UUID, tmp_path: Path
) -> None:
    """The lock's; the server believes both to be at work."""
    dead, other = triggered(client, deployment), triggered(client, deployment)
    for run in (dead, other):
        client.set_flow_run_state(run.id, Running(), force=True)
    with ExperimentLock.acquire(Store(tmp_path), "tiny", run="experiments/tiny/1.json", flow_run=str(dead.id)) as lock:
        assert close_holders_run(client, lock.holder)
        assert not close_holders_run(client, lock.holder)
    assert client.read_flow_run(dead.id).state_name == "Crashed"
    assert "is gone" in str(client.read_flow_run(dead.id).state.message)  # type: ignore[union-attr]
    assert client.read_flow_run(other.id).state_name == "Running"


@pytest.mark.slow
def test_the_flow_run_of_a_command_that_died_is_closed_by_the_next(
    client: SyncPrefectClient, deployment: UUID, tmp_path: Path
) -> None:
    """The lock was taken before Prefect knew of the run; its record says which it is."""
    lost, store, path = triggered(client, deployment), Store(tmp_path), "experiments/tiny/1.json"
    client.set_flow_run_state(lost.id, Running(), force=True)
    write_record(store, path, RunRecord(started="2026-11-28T00:00:00", experiment={}, flow_run=str(lost.id)))
    with ExperimentLock.acquire(store, "tiny", run=path) as lock:
        assert close_lost(lock.holder, mark_lost(store, lock.holder))
    assert client.read_flow_run(lost.id).state_name == "Crashed"
    found = read_record(store, path)
    assert found is not None
    assert found.outcome == "lost"


class Started(list[FlowProcess]):
    """Processes that sleep, in place of flow runs."""

    def __call__(self, flow_run: UUID) -> FlowProcess:
        sleeps = [sys.executable, "-c", "import time; time.sleep(600)", "-m", "pipelines.run_scheduled", str(flow_run)]
        self.append(FlowProcess(flow_run, psutil.Popen(sleeps, stdin=subprocess.DEVNULL)))
        return self[-1]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    made = Started()
    monkeypatch.setattr(FlowProcess, "start", made)
    yield made
    for process in made:
        ended(process)


def service(client: SyncPrefectClient, deployment: UUID, said: list[str]) -> Service:
    return Service(client, {deployment: "gan-pipelines/tiny"}, StopSignals(""), said.append)


def ended(process: FlowProcess) -> None:
    process.kill()
    process.process.wait(timeout=30)


@pytest.mark.slow
def test_runs_of_a_deployment_are_executed_one_at_a_time_and_one_that_is_killed_is_closed(
    client: SyncPrefectClient, deployment: UUID, started: Started
) -> None:
    said: list[str] = []
    serving = service(client, deployment, said)
    first, second = triggered(client, deployment), triggered(client, deployment)
    serving._ask()
    assert [process.flow_run for process in started] == [first.id]
    ended(started[0])
    serving._look()
    serving._ask()
    assert client.read_flow_run(first.id).state_name == "Crashed"
    assert [process.flow_run for process in started] == [first.id, second.id]
    assert "ended by SIGKILL" in said[1]


@pytest.mark.slow
def test_a_run_that_the_server_closes_while_it_waits_to_be_started_again_is_not_lost(
    client: SyncPrefectClient, deployment: UUID, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = client.read_flow_run
    monkeypatch.setattr(client, "read_flow_run", lambda id_: read(id_).model_copy(update={"auto_scheduled": True}))
    run, serving = triggered(client, deployment), service(client, deployment, [])
    serving._ask()
    ended(started[0])
    serving._look()
    serving._ask()
    assert read(run.id).state_name == "AwaitingRetry"
    client.set_flow_run_state(run.id, Crashed(message="no heartbeat"), force=True)
    serving._ask()
    assert [process.flow_run for process in started] == [run.id, run.id]


@pytest.mark.slow
def test_a_service_takes_up_what_an_earlier_one_began_and_closes_what_is_gone(
    client: SyncPrefectClient, deployment: UUID, started: Started
) -> None:
    alive = triggered(client, deployment)
    service(client, deployment, [])._ask()
    gone = triggered(client, deployment)
    assert take(client, gone)
    elsewhere = triggered(client, deployment)
    client.set_flow_run_state(elsewhere.id, Running(), force=True)
    client.update_flow_run(elsewhere.id, infrastructure_pid="another-machine:1")
    said: list[str] = []
    later = service(client, deployment, said)
    later._ask()
    assert [served.run.id for served in later.at_work] == [alive.id]
    assert "is still at work" in said[0]
    assert client.read_flow_run(gone.id).state_name == "Crashed"
    assert client.read_flow_run(elsewhere.id).state_name == "Running"


@pytest.mark.slow
def test_a_run_that_somebody_cancels_ends(client: SyncPrefectClient, deployment: UUID, started: Started) -> None:
    run = triggered(client, deployment)
    serving = service(client, deployment, [])
    serving._ask()
    client.set_flow_run_state(run.id, Cancelling(), force=True)
    serving._ask()
    started[0].process.wait(timeout=30)
    serving._look()
    serving._ask()
    assert client.read_flow_run(run.id).state_name == "Cancelled"


@pytest.mark.slow
def test_a_server_that_is_away_ends_no_run_and_is_told_later(
    client: SyncPrefectClient, deployment: UUID, started: Started
) -> None:
    said: list[str] = []
    run = triggered(client, deployment)
    serving = service(client, deployment, said)
    assert serving._reach(serving._ask)
    nowhere = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(nowhere), get_client(sync_client=True) as nobody:
        serving.client = nobody
        assert not serving._reach(serving._ask)
        assert not serving._reach(serving._ask)
    assert sum("does not answer" in line for line in said) == 1
    assert not started[0].ended
    ended(started[0])
    serving._look()
    serving.client = client
    assert serving._reach(serving._ask)
    assert client.read_flow_run(run.id).state_name == "Crashed"


@pytest.mark.slow
def test_runs_at_work_when_a_service_stops_go_on_with_the_next(
    client: SyncPrefectClient, deployment: UUID, started: Started
) -> None:
    run = triggered(client, deployment)
    serving = service(client, deployment, [])
    serving._ask()
    client.set_flow_run_state(run.id, Running(), force=True)
    serving.signals.number = 15
    serving.run()
    assert client.read_flow_run(run.id).state_name == "AwaitingRetry"
    next_one = service(client, deployment, [])
    next_one._ask()
    assert [process.flow_run for process in started] == [run.id, run.id]


def test_how_a_process_ended_is_told_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_processes, "ENGINE", ("-m", "pipelines.no_such_module"))
    process = FlowProcess.start(UUID(int=0))
    process.process.wait(timeout=120)
    assert process.ended
    assert process.how.startswith("ended with status 1: ")
    assert process.how.endswith("No module named pipelines.no_such_module")
