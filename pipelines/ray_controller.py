"""What Ray Train's controller does for a run besides Ray's own.

It tells of lost workers, has a checkpoint made before workers are restarted in another number, and counts the nodes
before it restarts the workers of those that are left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import ray
from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import get_or_create_autoscaling_coordinator
from ray.exceptions import RayActorError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback
from ray.train.v2._internal.execution.callback import ControllerCallback, WorkerGroupCallback
from ray.train.v2._internal.execution.controller.state import ReschedulingState, ResizingState, RestartingState

from gan_core.store import Store
from pipelines.messages import Messages
from pipelines.ray_worker import checkpoint_now
from pipelines.retries import worth_retrying

BROKEN = re.compile(r"\bgloo\b|\bNCCL\b|connection (closed|reset)|broken pipe", re.IGNORECASE)
COUNT_S = 5.0
SAVE_S = 60.0  # that a resize waits for a checkpoint, before it goes without


class TellOfLosses(WorkerGroupCallback):
    """One line in the run's messages when workers die or fail."""

    def __init__(self, store: str, run_prefix: str, fit_id: str) -> None:
        self._where = (store, run_prefix, fit_id)
        self._told = False

    def after_worker_group_start(self, worker_group: Any) -> None:
        self._told = False

    def after_worker_group_poll_status(self, worker_group_status: Any) -> None:
        if worker_group_status.errors and not self._told:
            self._told = True
            store, run_prefix, fit_id = self._where
            with suppress(Exception):  # what a callback raises would end the run
                Messages(Store(store), run_prefix, fit_id).say(what_was_lost(worker_group_status.errors))


def what_was_lost(errors: Mapping[int, Exception]) -> str:
    """'worker 1 died': the workers that died, or else the first that failed, with the last line of its error.

    A worker sees that its connection is gone before Ray sees that the other end has died.
    """
    died = sorted(rank for rank, error in errors.items()
                  if isinstance(getattr(error, "health_check_failure", error), RayActorError))
    if died:
        return f"worker{'s' if len(died) > 1 else ''} {', '.join(map(str, died))} died"
    rank = min(errors)
    lines = [line.strip() for line in str(errors[rank]).splitlines() if line.strip()]
    if any(BROKEN.search(line) for line in lines):
        return f"worker {rank} lost contact with another worker"
    return f"worker {rank} failed: {lines[-1] if lines else type(errors[rank]).__name__}"


def of_the_program(errors: Mapping[int, Exception]) -> bool:
    """Whether what runs on the workers raised an error of its own: none died, and one says more than that a connection
    or a store was lost.
    """
    raised = [error for error in errors.values() if isinstance(error, UserExceptionWithTraceback)]
    return len(raised) == len(errors) and any(
        not BROKEN.search(str(error)) and not worth_retrying(error._base_exc) for error in raised)


class SaveBeforeResizing(ControllerCallback, WorkerGroupCallback):
    """Has a checkpoint made before healthy workers are restarted in another number, so that no step is lost."""

    def __init__(self) -> None:
        self._workers: Any = None

    def after_worker_group_start(self, worker_group: Any) -> None:
        self._workers = worker_group

    def after_controller_state_update(self, previous_state: object, current_state: object) -> None:
        if isinstance(current_state, ResizingState) and self._workers is not None:
            with suppress(Exception):  # then the newest checkpoint there is will do
                self._workers.execute_single(0, checkpoint_now, SAVE_S)


class CountNodesAgain(ControllerCallback):
    """Has Ray count the nodes before workers are restarted.

    Its own count is up to 20 s old, and elastic workers would wait for room on a node that is gone.
    """

    def after_controller_state_update(self, previous_state: object, current_state: object) -> None:
        if isinstance(current_state, RestartingState | ReschedulingState):
            with suppress(Exception):  # then the old count will do, and the next one is right
                counted: Any = get_or_create_autoscaling_coordinator()
                ray.get(counted.get_reserved_resources.remote("", recompute=True), timeout=COUNT_S)
