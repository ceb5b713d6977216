"""What `gan serve` does before its first run: deployments are found or made, and shown."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from rich.table import Table

from gan_core.errors import ConfigError
from pipelines.deploy import Wanted, apply, changes, prefect_client, registered, schedules_text
from pipelines.interrupt import StopSignals
from pipelines.serve_runs import Service
from pipelines.show import console


def serve_deployments(wanted: Iterable[Wanted], signals: StopSignals) -> None:
    """Until a signal.  ConfigError for a deployment that a work pool's workers run."""
    with prefect_client() as client:
        deployments = [_found_or_made(client, one) for one in wanted]
        _show(client, deployments)
    names = {deployment.id: f"gan-pipelines/{deployment.name}" for deployment in deployments}
    # one try a question: this has a patience of its own, and processes to look after meanwhile
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), get_client(sync_client=True) as asking:
        Service(asking, names, signals, say).run()


def say(line: str) -> None:
    """One line of the log, with its time."""
    console().print(f"{datetime.now():%H:%M:%S}  {line}", soft_wrap=True)


def _found_or_made(client: SyncPrefectClient, wanted: Wanted) -> DeploymentResponse:
    now = registered(client, wanted.name)
    if now is None:
        say(f"{wanted.name} is not registered yet; it is now")
        return client.read_deployment(apply(client, None, wanted))
    if now.work_pool_name is not None:
        raise ConfigError(f"{wanted.name} is run by the workers of the pool {now.work_pool_name}; start one there, or "
                          "give `gan deploy` again without --pool")
    differing = [change.field for change in changes(now, wanted)]
    if differing:
        shown = ", ".join(differing[:3]) + (" …" if len(differing) > 3 else "")
        say(f"{wanted.name} is registered with other settings ({shown}), which hold; `gan deploy` brings it up to date")
    return now


def _show(client: SyncPrefectClient, deployments: list[DeploymentResponse]) -> None:
    table = Table("deployment", "id", "schedule", "next run", box=None, pad_edge=False, header_style="bold")
    for deployment in deployments:
        schedule = schedules_text(deployment) + (" (paused)" if deployment.paused else "")
        table.add_row(f"gan-pipelines/{deployment.name}", str(deployment.id), schedule, _next(client, deployment.id))
    console().print(table)


def _next(client: SyncPrefectClient, deployment: UUID) -> str:
    """When the next run is due by the server's list, which it writes a few seconds after a deployment is made."""
    waiting = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])))
    runs = client.read_flow_runs(flow_run_filter=waiting, limit=1, sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                                 deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])))
    due = runs[0].expected_start_time if runs else None
    return f"{due.astimezone():%Y-%m-%d %H:%M:%S %Z}" if due else "-"
