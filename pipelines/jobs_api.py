"""A Ray cluster's Jobs API, asked from outside over HTTP: with time-outs, patience, and errors that say what to do.

The token, where the cluster wants one, is read by Ray from RAY_AUTH_MODE and RAY_AUTH_TOKEN, and kept nowhere else.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient
from ray.util.state import list_nodes
from ray.util.state.exception import RayStateApiException
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential

from gan_core.errors import ConfigError, WorkersFailed
from pipelines.room import Resources

T = TypeVar("T")
ANSWER_S = 30.0  # for one answer: Ray's own client would wait for ever for a machine that lost its power
PAUSES_S = (0.5, 10.0)  # between tries, growing
PASSING = (requests.RequestException, ConnectionError, RayStateApiException)
ADDRESS = "RAY_API_SERVER_ADDRESS"  # which Ray prefers to any address that it is given


class Client(JobSubmissionClient):
    """Ray's client, which gives up on an answer that does not come."""

    def _do_request(self, method: str, endpoint: str, **options: Any) -> requests.Response:
        return super()._do_request(method, endpoint, **{"timeout": ANSWER_S, **options})

    def bring(self, content: bytes) -> tuple[str, bool]:
        """Has the cluster keep a zip until a job uses it: its URI, and whether the cluster had it before.

        Ray's own way zips a folder by rules of its own, and only after a job was asked for.
        """
        name = f"_ray_pkg_{hashlib.sha1(content).hexdigest()}.zip"  # as Ray names what it keeps
        where = f"/api/packages/gcs/{name}"
        found = self._do_request("GET", where)
        if found.status_code not in (200, 404):
            self._raise_error(found)
        if found.status_code == 404:
            answer = self._do_request("PUT", where, data=content)
            if answer.status_code != 200:
                self._raise_error(answer)
        return f"gcs://{name}", found.status_code == 200

    @property
    def cluster_version(self) -> str:
        """The version of Ray that the cluster runs, as the first answer told."""
        return str(self._server_ray_version)


@dataclass(frozen=True)
class JobsApi:
    """The jobs of one cluster.

    away_s: seconds for which a head that stopped answering is asked again.  given_up: whether to ask no more.
    Every method but `log` raises WorkersFailed when the head stays away.
    """

    client: Client
    address: str
    away_s: float
    given_up: Callable[[], bool] = lambda: False

    @staticmethod
    def at(address: str, away_s: float, given_up: Callable[[], bool] = lambda: False) -> JobsApi:
        """WorkersFailed when nothing answers there, at once; ConfigError for another Ray or another token."""
        with _only(address):
            try:
                client = Client(address)
            except AuthenticationError:
                raise ConfigError(f"ray.address={address}: the cluster wants another token; export RAY_AUTH_MODE=token "
                                  "and RAY_AUTH_TOKEN, which `ray get-auth-token` prints on its head") from None
            except (OSError, RuntimeError, ValueError) as error:
                raise WorkersFailed(f"no Ray Jobs API answers at {address}: {_first_line(error)}; start the cluster, "
                                    "as `ray start --head` does, or correct the profile's ray.address") from None
        ours, theirs = ray.__version__, client.cluster_version
        if ours.split(".")[:2] != theirs.split(".")[:2]:
            raise ConfigError(f"ray.address={address}: the cluster runs Ray {theirs}, and here is {ours}; "
                              f"pip install 'ray[default]=={theirs}' here, or {ours} there, works")
        return JobsApi(client, address, away_s, given_up)

    def find(self, job: str) -> JobDetails | None:
        """What the cluster knows of a job; None when it does not know it."""
        return self._asked(lambda: _known(lambda: self.client.get_job_info(job)))

    def all(self) -> list[JobDetails]:
        """What the cluster knows of its jobs, those that ended too."""
        return self._asked(lambda: list(self.client.list_jobs()))

    def bring(self, content: bytes) -> tuple[str, bool]:
        """As Client.bring."""
        return self._asked(lambda: self.client.bring(content))

    def submit(self, job: str, entrypoint: str, runtime_env: dict[str, Any]) -> bool:
        """Starts a job.  False when the cluster has one of that name already."""
        def ask() -> bool:
            try:
                self.client.submit_job(entrypoint=entrypoint, submission_id=job, runtime_env=runtime_env)
            except RuntimeError as error:
                if "already exists" in str(error):
                    return False
                raise
            return True

        return self._asked(ask)

    def stop(self, job: str) -> None:
        """Asks a job to stop; nothing when the cluster does not know it."""
        self._asked(lambda: _known(lambda: self.client.stop_job(job)))

    def log(self, job: str) -> str:
        """All that a job has said so far; '' when it cannot be had now, as when the job's node is gone.

        It is not waited for: what becomes of a job does not depend on its log.
        """
        try:
            return str(self.client.get_job_logs(job))
        except (RuntimeError, *PASSING):
            return ""

    def nodes(self) -> list[Resources]:
        """What each node that is alive has in all; there is one at least, the head's own."""
        def ask() -> list[Resources]:
            with _only(self.address):
                alive = list_nodes(address=self.address, filters=[("state", "=", "ALIVE")], timeout=int(ANSWER_S))
            if not alive:  # a head answers for a moment before it counts itself
                raise ConnectionError("it has no node yet")
            return [node.resources_total for node in alive]

        return self._asked(ask)

    def _asked(self, ask: Callable[[], T]) -> T:
        tries = Retrying(
            retry=retry_if_exception(_passing),
            wait=wait_exponential(PAUSES_S[0], max=PAUSES_S[1]),
            stop=lambda state: self.given_up() or stop_after_delay(self.away_s)(state),
            reraise=True,
        )
        try:
            return tries(ask)
        except Exception as error:
            if not _passing(error):
                raise
            raise WorkersFailed(f"the head of the Ray cluster at {self.address} stopped answering: "
                                f"{_first_line(error)}; when it is back, the same command finds the job, or goes on "
                                "from the newest checkpoint") from error


def _known(ask: Callable[[], T]) -> T | None:
    """None where the cluster says that there is no such job."""
    try:
        return ask()
    except RuntimeError as error:
        if _status(error) == 404:
            return None
        raise


def _passing(error: BaseException) -> bool:
    """Whether a head that comes back may answer the same question."""
    return isinstance(error, PASSING) or _status(error) in (500, 502, 503, 504)


def _status(error: BaseException) -> int:
    """The HTTP status in the words of Ray's client, which has no other place for it; 0 when there is none."""
    found = re.search(r"status code (\d{3})", str(error)) if isinstance(error, RuntimeError) else None
    return int(found[1]) if found else 0


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


@contextmanager
def _only(address: str) -> Iterator[None]:
    """Has Ray use this address; a variable of the environment, as a cluster's own RAY_ADDRESS, would win over it."""
    before = os.environ.get(ADDRESS)
    os.environ[ADDRESS] = address
    try:
        yield
    finally:
        os.environ.pop(ADDRESS)
        if before is not None:
            os.environ[ADDRESS] = before
