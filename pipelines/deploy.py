"""`gan deploy`: what Prefect's server should hold of an experiment, what it holds, and how the one becomes the other.

A deployment is `gan-pipelines/<experiment's name>`.  Its parameters are the resolved settings, the store and the
profile; their schema is made from ours, so that Prefect's page has a field for each setting and its server refuses what
would not work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from httpx import HTTPError, HTTPStatusError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentScheduleUpdate, DeploymentUpdate
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.exceptions import ObjectNotFound
from pydantic.json_schema import models_json_schema

from gan_core.config import Experiment, ScheduleConfig, experiment_class
from gan_core.errors import ConfigError, WorkersFailed
from gan_core.store import Store
from pipelines.heartbeats import HEARTBEATS
from pipelines.keys import STAGES
from pipelines.profile import Profile
from pipelines.server import check_server, configured_server

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

FLOW = "gan-pipelines"
ENTRYPOINT = "pipelines.scheduled.scheduled"
DEFINITIONS = "#/definitions/{model}"  # where Prefect looks for the blocks that a schema refers to
SHOWN = 120  # characters of a value in a line that says what changes


@dataclass(frozen=True)
class Wanted:
    """What a deployment should be.  paused: None keeps what the server holds."""

    experiment: Experiment
    store: str
    profile: Profile
    remake: tuple[str, ...] = ()
    pool: str | None = None
    paused: bool | None = None

    @property
    def name(self) -> str:
        """As Prefect addresses it."""
        return f"{FLOW}/{self.experiment.name}"

    @property
    def schedule(self) -> str:
        """When the server starts it, in words."""
        return schedule_text(prefect_schedule(self.experiment.schedule))

    @property
    def tags(self) -> list[str]:
        return sorted({FLOW, self.experiment.name})

    @property
    def parameters(self) -> dict[str, Any]:
        """What the flow is given."""
        return {
            "experiment": self.experiment.as_json(),
            "store": self.store,
            "profile": self.profile.model_dump(mode="json"),
            "remake": list(self.remake),
        }


@dataclass(frozen=True)
class Change:
    """One field that differs between what the server holds and what is wanted; None: not there."""

    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.field}: {_shown(self.before)} → {_shown(self.after)}"


@contextmanager
def prefect_client() -> Iterator[SyncPrefectClient]:
    """A client of the configured server.

    ConfigError when none is configured, WorkersFailed when it does not answer or refuses.
    """
    url = configured_server()
    if url is None:
        raise ConfigError("no Prefect server is configured, and a deployment lives on one; start it with `prefect "
                          "server start` and export PREFECT_API_URL=http://127.0.0.1:4200/api")
    try:
        check_server(url)
    except WorkersFailed as error:
        raise WorkersFailed(f"{str(error).partition(';')[0]}; start it and give the same command again") from None
    try:
        with get_client(sync_client=True) as client:
            yield client
    except HTTPStatusError as error:
        raise WorkersFailed(f"Prefect's server refuses {error.request.url.path}: {_detail(error)}; is its version ours?"
                            ) from error
    except HTTPError as error:
        raise WorkersFailed(f"the Prefect server at {url} does not answer: {error or type(error).__name__}; look at "
                            "its log and give the same command again") from error


def wanted_deployment(
    experiment: Experiment, profile: Profile, store: str, remake: Iterable[str] = (), pool: str | None = None,
    paused: bool | None = None,
) -> Wanted:
    """ConfigError for a store that no other process can reach."""
    place = Store(store)
    if place.url.startswith("memory://"):
        raise ConfigError(f"--store {store}: lives in one process, and runs have their own; --store ./store works")
    return Wanted(experiment, place.url, profile, tuple(remake), pool, paused)


def registered(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    """The deployment of that name as the server holds it; None when there is none."""
    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None


def check_pool(client: SyncPrefectClient, pool: str) -> None:
    """ConfigError names the work pools that there are, when there is none of this name."""
    known = sorted(found.name for found in client.read_work_pools())
    if pool not in known:
        raise ConfigError(f"--pool {pool}: no such work pool; there are: {', '.join(known) or 'none'}; `prefect "
                          f"work-pool create {pool} --type process` makes one, and without --pool `gan serve` runs it")


def changes(now: DeploymentResponse | None, wanted: Wanted) -> list[Change]:
    """Field by field what `apply` would change; [] when the server holds just this."""
    before, after = _held(now) if now is not None else {}, _fields(wanted)
    if wanted.paused is None:
        before.pop("paused", None)
    found = [Change(name, before.get(name), after.get(name)) for name in sorted({*before, *after})
             if before.get(name) != after.get(name)]
    if now is not None and now.parameter_openapi_schema != parameter_schema(wanted.experiment):
        found.append(Change("schema of the parameters", "of other code", "of this code"))
    return found


def apply(client: SyncPrefectClient, now: DeploymentResponse | None, wanted: Wanted) -> UUID:
    """Has the server hold what is wanted.  The deployment keeps its id, and its schedule where that is the same."""
    fields: dict[str, Any] = {
        "parameters": wanted.parameters,
        "parameter_openapi_schema": parameter_schema(wanted.experiment),
        "enforce_parameter_schema": True,
        "tags": wanted.tags,
        "entrypoint": ENTRYPOINT,
        "work_pool_name": wanted.pool,
        "description": f"Runs what is new of {wanted.experiment.name}, on {wanted.store}.",
    }
    if wanted.pool is not None:
        fields["job_variables"] = _with_heartbeats(now.job_variables if now is not None else {})
    schedule = prefect_schedule(wanted.experiment.schedule)
    if now is None:
        schedules = [] if schedule is None else [DeploymentScheduleCreate(schedule=schedule, active=True)]
        flow = client.create_flow_from_name(FLOW)
        return client.create_deployment(flow, wanted.experiment.name, schedules=schedules,
                                        paused=bool(wanted.paused), **fields)
    if schedules_text(now) != wanted.schedule:
        fields["schedules"] = [] if schedule is None else [DeploymentScheduleUpdate(schedule=schedule, active=True)]
    if wanted.paused is not None:
        fields["paused"] = wanted.paused
    client.update_deployment(now.id, DeploymentUpdate(**fields))
    return now.id


def _with_heartbeats(variables: Mapping[str, Any]) -> dict[str, Any]:
    """A pool's variables of a deployment, so that its processes tell that they are alive as often as ours."""
    return {**variables, "env": {**variables.get("env", {}), **HEARTBEATS}}


def prefect_schedule(schedule: ScheduleConfig) -> CronSchedule | IntervalSchedule | None:
    """A block of settings as Prefect's own; None when it names no times."""
    if schedule.cron is not None:
        return CronSchedule(cron=schedule.cron, timezone=schedule.timezone)
    return IntervalSchedule(interval=schedule.every, timezone=schedule.timezone) if schedule.every else None


def schedule_text(schedule: object) -> str:
    """One of Prefect's schedules in words that are equal where the times are."""
    if isinstance(schedule, CronSchedule):
        return f"{schedule.cron} ({schedule.timezone or 'UTC'})"
    if isinstance(schedule, IntervalSchedule):
        return f"every {_span(schedule.interval)}"
    return "none" if schedule is None else str(schedule)


def parameter_schema(experiment: Experiment) -> dict[str, Any]:
    """The JSON schema of the flow's parameters, as Prefect keeps it."""
    kind = experiment_class(experiment.source, experiment.recipe)
    blocks, known = models_json_schema([(kind, "validation"), (Profile, "validation")], ref_template=DEFINITIONS)
    properties: dict[str, dict[str, Any]] = {
        "experiment": {**blocks[kind, "validation"], "title": "experiment"},
        "store": {"type": "string", "title": "store", "description": "Where everything is kept."},
        "profile": {"title": "profile", "description": "Where to run: settings, or the name of a profile.",
                    "anyOf": [blocks[Profile, "validation"], {"type": "string"}, {"type": "null"}]},
        "remake": {"type": "array", "title": "remake", "default": [], "items": {"type": "string", "enum": [*STAGES]},
                   "description": "Stages whose results are made again though they are there."},
    }
    placed = {name: {**field, "position": place} for place, (name, field) in enumerate(properties.items())}
    return {"title": "Parameters", "type": "object", "properties": placed, "required": ["experiment", "store"],
            "definitions": known["$defs"]}


def _fields(wanted: Wanted) -> dict[str, Any]:
    """What is compared, by name."""
    rest = {"pool": wanted.pool, "schedule": wanted.schedule, "tags": wanted.tags, "runs": ENTRYPOINT}
    paused = {} if wanted.paused is None else {"paused": wanted.paused}
    return {**dict(_flat("", wanted.parameters)), **rest, **paused}


def _held(now: DeploymentResponse) -> dict[str, Any]:
    """The same of what the server holds."""
    rest = {"pool": now.work_pool_name, "schedule": schedules_text(now), "tags": sorted(now.tags),
            "runs": now.entrypoint, "paused": now.paused}
    return {**dict(_flat("", now.parameters)), **rest}


def schedules_text(now: DeploymentResponse) -> str:
    """When the server starts runs of a deployment, in words."""
    return "; ".join(schedule_text(held.schedule) for held in now.schedules) or schedule_text(None)


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), inner)
    else:
        yield name, value


def _span(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN - 1]}…"


def _detail(error: HTTPStatusError) -> str:
    """The server's own words in one line."""
    try:
        return str(error.response.json()["detail"])[:500]
    except (ValueError, KeyError, TypeError):
        return f"status {error.response.status_code}"
