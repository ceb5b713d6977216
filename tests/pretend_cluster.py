"""A Ray cluster of a few lines, for what asks one over the Jobs API.  tests/system has a real one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import requests
from ray.job_submission import JobDetails, JobStatus, JobType

from pipelines.jobs_api import Client, JobsApi

STARTED = "Runtime env is setting up.\nRunning entrypoint for job x: exec python\n"


@dataclass
class Cluster:
    """Ray's client and the cluster behind it.  away: requests that find no head.  at_look: what happens meanwhile."""

    jobs: dict[str, JobDetails] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)
    kept: dict[str, bytes] = field(default_factory=dict)
    away: int = 0
    at_look: list[Callable[[], None]] = field(default_factory=list)

    def submit_job(self, *, entrypoint: str, submission_id: str, runtime_env: dict[str, Any]) -> str:
        if submission_id in self.jobs:
            raise RuntimeError(f"Request failed with status code 400: Job with submission_id {submission_id} already "
                               "exists.")
        self.put(submission_id, JobStatus.RUNNING, entrypoint=entrypoint)
        self.environments[submission_id] = runtime_env
        return submission_id

    def bring(self, content: bytes) -> tuple[str, bool]:
        uri = f"gcs://{hashlib.sha1(content).hexdigest()}.zip"
        had = uri in self.kept
        self.kept[uri] = content
        return uri, had

    def list_jobs(self) -> list[JobDetails]:
        return list(self.jobs.values())

    def put(self, job: str, status: JobStatus, **facts: Any) -> None:
        before = self.jobs[job].model_dump() if job in self.jobs else {
            "type": JobType.SUBMISSION, "entrypoint": "", "submission_id": job}
        self.jobs[job] = JobDetails(**{**before, "status": status, **facts})
        self.logs.setdefault(job, STARTED)

    def get_job_info(self, job: str) -> JobDetails:
        if self.away:
            self.away -= 1
            raise requests.ConnectionError("connection refused")
        if self.at_look:
            self.at_look.pop(0)()
        if job not in self.jobs:
            raise RuntimeError(f"Request failed with status code 404: Job {job} does not exist.")
        return self.jobs[job]

    def get_job_logs(self, job: str) -> str:
        return self.logs[job]

    def stop_job(self, job: str) -> bool:
        self.stopped.append(job)
        return True

    def api(self, given_up: Callable[[], bool] = lambda: False) -> JobsApi:
        return JobsApi(cast(Client, self), "http://127.0.0.1:8265", 0.05, given_up)
