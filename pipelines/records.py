"""The record of each run: what was set, what each stage was named, and what became of it.

    experiments/<name>/<time>.json

Written when a run starts and again after each stage; a plan reads its "changed" reasons here.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from gan_core.config import Config
from gan_core.store import Store

RECORDS_READ = 20  # newest first, until each stage was met


class StageRecord(Config):
    """What a stage's key was made of.  inputs and code: digests, by stage and by module."""

    key: str
    config: dict[str, Any]
    inputs: dict[str, str]
    code: dict[str, str]


class StageResult(Config):
    """What became of a stage in one run.

    status: RUN, REUSED or RESUMED when it is done, else FAILED or STOPPED.  trained: the positions that training went
    on from and got to, if it did.
    """

    name: str
    status: str
    seconds: float
    uri: str
    trained: tuple[int, int] | None = None

    @property
    def done(self) -> bool:
        """Whether the stage's result is there."""
        return self.status not in ("FAILED", "STOPPED")


class RunRecord(Config):
    """One run of an experiment.

    running, prefix: the stage at work now and where its result will be.  detail: how far it is, in words.
    outcome: '' while at work, and for good where a process died; else done, nothing new, failed, refused by the gate,
    stopped by a person, or lost: found dead by the next.  problem: what a person is told of it, in one paragraph.
    host, pid, by: which process, and the command or the schedule that started it.  profile, remake: with what.
    flow_run: Prefect's id.  updated, ended: ISO 8601.  published: the version's URL.
    """

    started: str
    experiment: dict[str, Any]
    stages: dict[str, StageRecord] = Field(default_factory=dict)
    results: tuple[StageResult, ...] = ()
    running: str = ""
    prefix: str = ""
    detail: str = ""
    error: str = ""
    outcome: Literal["", "done", "nothing new", "failed", "refused", "stopped", "lost"] = ""
    problem: str = ""
    published: str = ""
    host: str = ""
    pid: int = 0
    by: str = ""
    store: str = ""
    profile: dict[str, Any] = Field(default_factory=dict)
    remake: tuple[str, ...] = ()
    flow_run: str = ""
    updated: str = ""
    ended: str = ""

    @property
    def searches(self) -> bool:
        """Whether it is a search over settings, not a run of the best ones."""
        return "tune" in self.stages or self.running == "tune"

    @property
    def stage(self) -> str:
        """The stage that is at work or did not end well; '' for none."""
        bad = [result.name for result in self.results if not result.done]
        return self.running or (bad[-1] if bad else "")


def new_record(experiment: dict[str, Any], started: datetime, **about: Any) -> RunRecord:
    """Of a run of this process.  about: other fields."""
    return RunRecord(started=started.isoformat(timespec="seconds"), experiment=experiment, host=socket.gethostname(),
                     pid=os.getpid(), **about)


def record_path(name: str, started: datetime) -> str:
    """Where the record of a run that starts now is kept."""
    return f"experiments/{name}/{started.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}.json"


def run_name(path: str) -> str:
    """A run as people call it, digits/20261128T085942.000000Z, of the path of its record."""
    return path.removeprefix("experiments/").removesuffix(".json")


def write_record(store: Store, path: str, record: RunRecord) -> None:
    """Replaces it; says in it when."""
    dated = record.model_copy(update={"updated": datetime.now(UTC).isoformat(timespec="seconds")})
    store.write(path, dated.model_dump_json(indent=1).encode())


def read_record(store: Store, path: str) -> RunRecord | None:
    """A run's record; None before it has begun."""
    try:
        return RunRecord.model_validate_json(store.read(path))
    except FileNotFoundError:
        return None


def latest_stages(store: Store, name: str) -> dict[str, StageRecord]:
    """How each stage was last named in this store, from the newest record that knows it."""
    found: dict[str, StageRecord] = {}
    for file in sorted(store.names(f"experiments/{name}"), reverse=True)[:RECORDS_READ]:
        try:
            record = RunRecord.model_validate_json(store.read(f"experiments/{name}/{file}"))
        except ValidationError:
            continue  # only reasons are read here; an unreadable record makes them less telling, nothing else
        for stage, stage_record in record.stages.items():
            found.setdefault(stage, stage_record)
    return found
