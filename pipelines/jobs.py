"""The jobs of ours that a cluster knows, whoever submitted them: listed, followed to their end, stopped."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from ray.job_submission import JobDetails

from gan_core.errors import ConfigError, GanError, GateRefused
from gan_core.store import Store
from pipelines.handles import Published
from pipelines.interrupt import StopSignals
from pipelines.jobs_api import JobsApi
from pipelines.on_ray_jobs import Following, jobs_api, say
from pipelines.profile import JOBS_API, RAY_JOBS, load_profile

NAMED = re.compile(r"(?P<work>gan-(?P<experiment>.+)-(?P<stage>[a-z]+)-[0-9a-f]{16})-(?P<number>\d+)")


@dataclass(frozen=True)
class Job:
    """One of ours.  since: when it began to run or wait, ended: when it ended, as ISO in UTC; '' before."""

    name: str
    experiment: str
    stage: str
    status: str
    since: str
    ended: str
    store: str

    def as_json(self) -> dict[str, Any]:
        """All that is known of it."""
        return asdict(self)


def cluster(profile: str | None, ray_address: str | None = None) -> JobsApi:
    """The Jobs API of a profile, or at an address of the command line.  ConfigError for one without; other errors as of
    JobsApi.at.
    """
    loaded = load_profile(profile, ray_address)
    if loaded.backend != RAY_JOBS:
        said = f"--profile {profile or 'none'}" if ray_address is None else f"--ray-address {ray_address}"
        raise ConfigError(f"{said}: backend={loaded.backend} has no jobs; --ray-address {JOBS_API} works, or a profile "
                          f"with backend: {RAY_JOBS}, as --profile cluster")
    return jobs_api(loaded)


def list_jobs(api: JobsApi, experiment: str | None = None) -> list[Job]:
    """Newest first.  experiment: of this one alone."""
    found = sorted(_ours(api), key=lambda details: details.start_time or 0, reverse=True)
    return [job for job in map(_told, found) if experiment in (None, job.experiment)]


def find_job(api: JobsApi, name: str) -> Job:
    """A job by its name or its beginning: of several attempts the newest.  ConfigError names one that exists."""
    listed = {job.name: job for job in list_jobs(api)}
    if name in listed:
        return listed[name]
    begun = [job for job in listed.values() if job.name.startswith(name)]
    if len({_work(job.name) for job in begun}) == 1:
        return max(begun, key=lambda job: int(job.name.rpartition("-")[2]))
    if begun:
        raise ConfigError(f"{name}: several jobs begin so: {', '.join(job.name for job in begun[:3])}; say more of it")
    near = get_close_matches(name, listed, n=1, cutoff=0.3) or list(listed)[:1]
    advice = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(f"{name}: the cluster at {api.address} knows no such job; {advice}`gan jobs list` names all")


def attach(api: JobsApi, job: Job) -> Published | None:
    """Follows a job to its end, with what it said so far.  What it published, where it did.

    Raises what the job raised, and GateRefused where its version may not become champion.
    """
    work, number = _work(job.name), job.name.rpartition("-")[2]
    with StopSignals(f"job {job.name} goes on") as signals:
        following = Following(api, Store(job.store), work, int(number), signals, lambda detail: say(detail or work))
        published = following.to_its_end().version()
    if published is not None and published.refusals:
        raise GateRefused("; ".join(published.refusals) + f"; {published.uri} is published and not champion")
    return published


def stop(api: JobsApi, job: Job) -> None:
    """Asks it to stop, with a checkpoint where it trains; returns at once.  GanError when it is at work no more."""
    found = api.find(job.name)
    if found is None or found.status.is_terminal():
        raise GanError(f"{job.name} is not at work: {found.status if found else 'the cluster knows it no more'}")
    api.stop(job.name)


def _ours(api: JobsApi) -> Iterator[JobDetails]:
    return (details for details in api.all() if NAMED.fullmatch(details.submission_id or "") and _store(details))


def _told(details: JobDetails) -> Job:
    named = NAMED.fullmatch(details.submission_id or "")
    assert named is not None  # as of all of ours
    return Job(named[0], named["experiment"], named["stage"], str(details.status.value), _time(details.start_time),
               _time(details.end_time), _store(details))


def _store(details: JobDetails) -> str:
    """The store that it works on, which its program was given; '' where it was given none."""
    words = shlex.split(details.entrypoint)
    return words[words.index("--store") + 1] if "--store" in words[:-1] else ""


def _work(name: str) -> str:
    """What all attempts at the same have in common."""
    return name.rpartition("-")[0]


def _time(milliseconds: int | None) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds") if milliseconds else ""
