"""What has to be right after a soak (soak.py): each check returns what is wrong, a line each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterExpectedStartTime
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from gan_core.manifest import read_manifest
from gan_core.store import Store
from pipelines.lock import live_holder

NAME = "soak"
PAGE = 200
GAN = (sys.executable, "-m", "pipelines.cli")


def problems(client: SyncPrefectClient, folder: Path, until: datetime) -> tuple[dict[str, int], list[str]]:
    """How many runs ended in each state, and what is wrong; the newest settings are folder/experiment.yaml's."""
    store = Store(str(folder / "store"))
    runs = all_runs(client, until)
    found = [*unaccounted(runs), *at_work(client), *versions(store), *newest(folder), *undisturbed(folder)]
    if (holder := live_holder(store, NAME)) is not None:
        found.append(f"the lock is still held by process {holder.pid}")
    return dict(Counter(run.state_name or "?" for run in runs)), found


def all_runs(client: SyncPrefectClient, until: datetime | None = None) -> list[FlowRun]:
    """Flow runs that were due by now, or by then, in the order in which they were."""
    due = FlowRunFilter(expected_start_time=FlowRunFilterExpectedStartTime(before_=until or datetime.now(UTC)))
    runs: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=due, limit=PAGE, offset=len(runs),
                                        sort=FlowRunSort.EXPECTED_START_TIME_ASC):
        runs += page
    return runs


def unaccounted(runs: list[FlowRun]) -> list[str]:
    """Runs that did not end Completed, under whatever name; Crashed will do where a later one did the work."""
    found = []
    for place, run in enumerate(runs):
        done_later = any(later.state_type == StateType.COMPLETED for later in runs[place + 1:])
        if run.state_type == StateType.COMPLETED or (run.state_type == StateType.CRASHED and done_later):
            continue
        found.append(f"run {run.name}, due {run.expected_start_time}, is {run.state_name}: "
                     f"{run.state.message if run.state else ''}")
    return found


def at_work(client: SyncPrefectClient) -> list[str]:
    """Runs that the server still believes to be at work."""
    busy = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING)
    return [f"run {run.name} is still {run.state_name}" for run in all_runs(client) if run.state_type in busy]


def versions(store: Store) -> list[str]:
    """Versions of one stage key, and versions that are not whole."""
    found, keys = [], Counter[str]()
    for name in sorted(store.names(f"models/{NAME}/versions")):
        prefix = f"models/{NAME}/versions/{name}"
        if (manifest := read_manifest(store, prefix)) is None:
            continue  # a claim of a process that was killed: not there, for whoever reads
        keys[manifest.key] += 1
        done = gan("models", "verify", f"{NAME}@{name}", "--store", store.url)
        if done.returncode != 0:
            found.append(f"version {name}: {done.stderr.strip()}")
    return found + [f"{count} versions of the stage key {key}" for key, count in keys.items() if count > 1]


def newest(folder: Path) -> list[str]:
    """Whether everything of the newest settings is there, and is what `latest` and `champion` name."""
    words = [str(folder / "experiment.yaml"), "--store", str(folder / "store"), "--json"]
    stages: list[dict[str, Any]] = json.loads(gan("plan", *words).stdout)["stages"]
    found = [f"{stage['name']} of the newest settings is to {stage['action']}: {stage['reason']}"
             for stage in stages if stage["action"] != "REUSE"]
    (model,) = json.loads(gan("models", "list", "--store", str(folder / "store"), "--json").stdout)
    for version in model["versions"]:
        wanted = {"latest", "champion"} if version["uri"] == stages[-1]["uri"] else set()
        if set(version["aliases"]) != wanted:
            found.append(f"version {version['version']} is {version['aliases']}, and should be {sorted(wanted)}")
    return found


def undisturbed(folder: Path) -> list[str]:
    """Whether the newest generator is, bit for bit, the one of a run that nobody disturbed."""
    gan("run", str(folder / "experiment.yaml"), "--store", str(folder / "undisturbed"))
    for alone in (folder / "undisturbed" / "runs").iterdir():
        here = folder / "store" / "runs" / alone.name / "networks.safetensors"
        if not here.exists() or here.read_bytes() != (alone / "networks.safetensors").read_bytes():
            return [f"runs/{alone.name}/networks.safetensors differs from an undisturbed run's"]
        return []
    return ["an undisturbed run made nothing"]


def gan(*words: str) -> subprocess.CompletedProcess[str]:
    """Runs `gan` to its end."""
    return subprocess.run([*GAN, *words], capture_output=True, text=True, check=False)
