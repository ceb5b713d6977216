"""Where the work of stages is done: in this process, or in jobs of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pipelines.handles import Published
from pipelines.plan import Step
from pipelines.profile import RAY_JOBS, Profile

if TYPE_CHECKING:
    from pipelines.execute import Run

Work = Callable[[Step], Published | None]
"""Makes the result of a step; returns it where it has no prefix that a plan knows."""


class Backend(Protocol):
    """What has the work of a step done, and returns when it is."""

    def do(self, run: Run, step: Step, work: Work) -> Published | None:
        """The result of `work(step)`.  Raises what it raises, wherever it ran."""


class Here:
    """In this process."""

    def do(self, run: Run, step: Step, work: Work) -> Published | None:
        return work(step)


def backend_of(profile: Profile) -> Backend:
    """The one that a profile names."""
    if profile.backend != RAY_JOBS:
        return Here()
    from pipelines.on_ray_jobs import OnRayJobs  # imports Ray

    return OnRayJobs(profile)
