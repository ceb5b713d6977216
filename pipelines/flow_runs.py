"""What Prefect's server is asked and told of flow runs by whoever executes them; what ended is never left Running.

Who took a run is in its Pending state's message until its process is there, then in its infrastructure's id.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import AwaitingRetry, Cancelled, Crashed, Pending

from gan_core.store import Store
from pipelines.holders import Holder, lives, newest

AHEAD = timedelta(seconds=3)  # a process takes about so long to start, and waits for its time itself
RESTART_S = (10.0, 60.0)  # after a crash of a scheduled run: so often, and so much later
TAKEN = re.compile(r"taken by (?P<pid>\d+) on (?P<host>.+)")
AT_WORK = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)


def runs_at_work(client: SyncPrefectClient, deployments: Iterable[UUID]) -> list[FlowRun]:
    """What the server believes to be at work."""
    at_work = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(AT_WORK))))
    of = DeploymentFilter(id=DeploymentFilterId(any_=list(deployments)))
    return client.read_flow_runs(flow_run_filter=at_work, deployment_filter=of)


def runs_due(client: SyncPrefectClient, deployments: Iterable[UUID]) -> list[FlowRun]:
    """Scheduled and triggered alike: those that had begun before, then by their time."""
    before = datetime.now(UTC) + AHEAD
    found = client.get_scheduled_flow_runs_for_deployments(list(deployments), scheduled_before=before)
    runs = [FlowRun.model_validate(run.model_dump()) for run in found]
    return sorted(runs, key=lambda run: (not run.run_count, run.next_scheduled_start_time or before))


def take(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Whether this process may execute a run: of several that ask, one may."""
    taken: State[object] = Pending(message=f"taken by {os.getpid()} on {socket.gethostname()}")
    try:
        answer = client.set_flow_run_state(run.id, taken)
    except ObjectNotFound:  # deleted a moment ago
        return False
    return answer.status == SetStateStatus.ACCEPT


def note_process(client: SyncPrefectClient, flow_run: UUID, pid: int) -> None:
    """Which process of this machine executes a run."""
    client.update_flow_run(flow_run, infrastructure_pid=f"{socket.gethostname()}:{pid}")


def was_here(run: FlowRun) -> bool:
    """Whether a run without a process was executed on this machine, or taken by a service that is gone from it."""
    host = socket.gethostname()
    if run.state is not None and (taken := TAKEN.fullmatch(run.state.message or "")):
        pid = int(taken["pid"])  # ours: of an earlier service, as it is the same in a container that was started again
        return taken["host"] == host and (pid == os.getpid() or not psutil.pid_exists(pid))
    return (run.infrastructure_pid or "").startswith(f"{host}:")


def dead_holder(run: FlowRun) -> Holder | None:
    """Who had the experiment's lock for this run and is dead; takes up to a lease where that was another machine.

    GanError when the store does not answer.
    """
    store, name = Store(str(run.parameters.get("store"))), str(run.parameters.get("experiment", {}).get("name"))
    _, holder = newest(store, name)
    if holder is None or holder.flow_run != str(run.id) or lives(store, name, holder):
        return None
    return holder


@dataclass(frozen=True)
class Settled:
    """What became of a run whose process is gone, in words; again: it is to be started again."""

    words: str
    again: bool = False


def settle(client: SyncPrefectClient, flow_run: UUID, how: str, *, stopped: bool = False) -> Settled:
    """Has the server know what became of a run whose process is gone.

    how: it ended, after 'Its process'.  stopped: this machine's service ended it, so that it goes on with the next.  A
    scheduled run that crashed is started again, at most len(RESTART_S) times, unless somebody cancelled it.
    """
    try:
        run = client.read_flow_run(flow_run)
    except ObjectNotFound:
        return Settled("deleted on the server")
    state = run.state
    if state is None or state.is_scheduled():
        return Settled("is to be started again", again=True)
    if state.is_cancelling():
        client.set_flow_run_state(flow_run, Cancelled(message="Cancelled; what was done is kept."), force=True)
        return Settled("Cancelled")
    if state.is_final() and not state.is_crashed():
        return Settled(_words(state))
    if stopped:
        _schedule_again(client, flow_run, 0, "Stopped with its service; goes on from its newest checkpoint.")
        return Settled("stopped; goes on when it is served again", again=True)
    return _crashed(client, run, how)


def _crashed(client: SyncPrefectClient, run: FlowRun, how: str) -> Settled:
    message = f"Its process {how}."
    if run.state is None or not run.state.is_crashed():
        client.set_flow_run_state(run.id, Crashed(message=message), force=True)
    elif run.state.message:
        message = run.state.message
    if not run.auto_scheduled or run.run_count > len(RESTART_S):
        return Settled(f"Crashed: {message}")
    pause = RESTART_S[max(run.run_count, 1) - 1]
    _schedule_again(client, run.id, pause, message)
    return Settled(f"Crashed: {message} It is started again in {pause:g} s", again=True)


def still_waits(client: SyncPrefectClient, flow_run: UUID) -> bool:
    """Whether a run that was to be started again still is to be.

    A server that was killed at that moment may not know that the run waits for its process, and its automation closes
    it for the heartbeats that it misses: such a run is scheduled anew.
    """
    try:
        state = client.read_flow_run(flow_run).state
    except ObjectNotFound:
        return False
    if state is not None and state.is_crashed():
        _schedule_again(client, flow_run, 0, "Closed while it waited to be started again; it waits again.")
        return True
    return state is not None and state.is_scheduled()


def _schedule_again(client: SyncPrefectClient, flow_run: UUID, pause: float, message: str) -> None:
    due = datetime.now(UTC) + timedelta(seconds=pause)
    again: State[object] = AwaitingRetry(scheduled_time=due, message=message)
    client.set_flow_run_state(flow_run, again, force=True)


def close_crashed(client: SyncPrefectClient, flow_run: UUID, message: str) -> bool:
    """Forces a run that the server still believes to be at work to Crashed; False when it is at no work, or unknown."""
    try:
        state = client.read_flow_run(flow_run).state
    except ObjectNotFound:
        return False
    if state is None or not (state.is_running() or state.is_pending()):
        return False
    client.set_flow_run_state(flow_run, Crashed(message=message), force=True)
    return True


def close_holders_run(client: SyncPrefectClient, dead: Holder, flow_run: str = "") -> bool:
    """Closes the flow run of a lock's dead holder, where it had one.  flow_run: its id, where the lock does not say."""
    known = dead.flow_run or flow_run
    if not known:
        return False
    return close_crashed(client, UUID(known), f"Process {dead.pid} on {dead.host} is gone, which ran this since "
                         f"{dead.taken}.")


def close_lost(dead: Holder | None, flow_run: str) -> bool:
    """The same on the configured server, of a holder that one has replaced; False where there was none."""
    if dead is None or not flow_run:
        return False
    with get_client(sync_client=True) as client:
        return close_holders_run(client, dead, flow_run)


def _words(state: State[object]) -> str:
    return f"{state.name}: {state.message}" if state.message else str(state.name)
