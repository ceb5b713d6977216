"""Which failures are tried again, after which waits: the same under Prefect and without it.

Only what may pass by itself is: a store, a network, a cluster that failed.  What a person has to put right fails at
once, for a second try would fail as the first did and only be later.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception

from gan_core.errors import GanError, Outage, WorkersFailed
from gan_core.outages import PASSING_STATUS, UNTRUSTED, reason, transient
from pipelines.profile import Profile

LONGEST_WAIT_S = 300.0
SPREAD = 0.25  # of a wait, at random: runs that failed together do not come back together
OUTAGES = {  # by name, for not one of these is imported to find out; errors of subclasses count too
    "httpx.TransportError", "requests.exceptions.ConnectionError", "requests.exceptions.Timeout",
    "urllib.error.URLError", "urllib3.exceptions.ProtocolError", "urllib3.exceptions.TimeoutError",
    "ray.exceptions.RayError",
}
ON_RAY = "ray.exceptions.RayTaskError"  # wraps what the work itself raised
FINAL = {"urllib.error.HTTPError", "ray.exceptions.RuntimeEnvSetupError", "ray.exceptions.TaskCancelledError"}
T = TypeVar("T")


def worth_retrying(error: BaseException) -> bool:
    """Whether the same work may succeed a little later with nothing done about it.

    True for Outage, WorkersFailed, and what clients of networks and Ray raise of their own.  False for every other
    GanError, for being interrupted, and for bugs, also where they happened on a Ray worker.
    """
    if isinstance(error, WorkersFailed):
        return error.__cause__ is None or ON_RAY not in _kinds(error.__cause__) or worth_retrying(error.__cause__)
    if isinstance(error, GanError):
        return isinstance(error, Outage)
    if not isinstance(error, Exception):
        return False
    kinds = _kinds(error)
    if ON_RAY in kinds:
        cause = getattr(error, "cause", None)
        return isinstance(cause, Exception) and worth_retrying(cause)
    status = getattr(getattr(error, "response", None), "status_code", None)
    named = kinds & OUTAGES and not kinds & FINAL and UNTRUSTED not in str(error)
    return transient(error) or status in PASSING_STATUS or bool(named)


def waits(profile: Profile) -> Iterator[float]:
    """Seconds before each further try that a profile allows: doubled each time, LONGEST_WAIT_S at most, and spread."""
    for number in range(profile.retries):
        wait = min(LONGEST_WAIT_S, profile.retry_wait_s * 2**number)
        yield round(wait * random.uniform(1 - SPREAD, 1 + SPREAD), 1)


@dataclass
class Retries:
    """The further tries of one stage in one run.

    waits: seconds before each.  waiting: is called before a wait.  failures: after which it was tried again.
    """

    stage: str
    waits: tuple[float, ...]
    waiting: Callable[[], None]
    failures: int = field(default=0, init=False)

    @staticmethod
    def of(profile: Profile, stage: str, waiting: Callable[[], None]) -> Retries:
        """Those that a profile allows."""
        return Retries(stage, tuple(waits(profile)), waiting)

    def again(self, error: BaseException) -> bool:
        """Whether the stage is tried again after this error, and then a line for the person who waits."""
        if self.failures == len(self.waits) or not worth_retrying(error):
            return False
        what, wait = reason(error).partition("; ")[0], self.waits[self.failures]
        self.failures += 1
        print(f"gan: {self.stage}: {what}; tried again in {wait:g} s ({self.failures} of {len(self.waits)})",
              file=sys.stderr, flush=True)
        self.waiting()
        return True

    def __call__(self, act: Callable[[], T]) -> T:
        """act(), tried again as Prefect would."""

        def wait(state: RetryCallState) -> float:
            return self.waits[self.failures - 1]

        return Retrying(retry=retry_if_exception(self.again), wait=wait, reraise=True)(act)


def _kinds(error: BaseException) -> set[str]:
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
