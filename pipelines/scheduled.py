"""The flow that a deployment runs.

A run with nothing new ends within seconds: what trains, and what shows it, is imported only where there is work.  How a
run ends is the name of its state:

    Nothing new     every result is there
    Skipped: …      it came too late, or another was at work
    Gate refused    the version is published and not champion
    Completed       published
    Failed          the state's message says what and what to do
    Crashed         SIGTERM stopped it after a checkpoint; started again, it goes on from there
    Cancelled       somebody asked it to stop
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Crashed, Failed

from gan_core.config import experiment_from, validate
from gan_core.errors import GanError, Interrupted
from gan_core.store import Store
from pipelines.interrupt import Terminated
from pipelines.lock import AlreadyRunning, ExperimentLock, sigterm_self
from pipelines.plan import Action, Planner, Step
from pipelines.profile import Profile, load_profile
from pipelines.records import record_path
from pipelines.run import Opened, nothing_new

LOOK_S = 3.0  # between looks whether the run before has ended
NOTHING_NEW, LATE, OVERLAPPING, REFUSED = "Nothing new", "Skipped: late", "Skipped: another is at work", "Gate refused"


@dataclass(frozen=True)
class Begun:
    """What the server says of a run.  due: when it should have begun.  attempt: 1 for the first."""

    id: str = ""
    due: datetime | None = None
    attempt: int = 1
    say: Callable[[str], None] = print


@dataclass
class Stopped:
    """Whether somebody asked this run to stop, rather than something that ended its process."""

    asked: bool = False

    def ask(self) -> None:
        """Called in the lock's thread."""
        self.asked = True
        sigterm_self()


@dataclass
class Course:
    """One run from its lock to its outcome."""

    opened: Opened
    begun: Begun
    record: str
    stopped: Stopped = field(default_factory=Stopped)

    def state(self) -> State[Any]:
        """Takes the lock, works, and says how it ended."""
        try:
            with self._lock() as lock:
                if lock.took_over is not None and lock.took_over.flow_run != self.begun.id:
                    self._close(lock)
                return self._work()
        except AlreadyRunning as other:
            holder = other.holder
            return Completed(name=OVERLAPPING, message=f"Process {holder.pid} on {holder.host} is at work since "
                             f"{holder.taken}; schedule.overlapping=skip")
        except (KeyboardInterrupt, Interrupted) as error:
            return self._ended(error)

    def _lock(self) -> ExperimentLock:
        """The experiment's lock; waits for it where the settings say so."""
        store, experiment = self.opened.store, self.opened.experiment
        told = -1
        while True:
            try:
                return ExperimentLock.acquire(store, experiment.name, run=self.record, flow_run=self.begun.id,
                                              on_cancel=self.stopped.ask)
            except AlreadyRunning as other:
                if experiment.schedule.overlapping == "skip":
                    raise
                if other.holder.number != told:
                    told = other.holder.number
                    self.begun.say(f"waits: {other}")
            time.sleep(LOOK_S)

    def _close(self, lock: ExperimentLock) -> None:
        from pipelines.flow_runs import close_holders_run

        assert lock.took_over is not None
        with get_client(sync_client=True) as client:
            if close_holders_run(client, lock.took_over):
                self.begun.say(f"flow run {lock.took_over.flow_run} is closed: its process is gone")

    def _work(self) -> State[Any]:
        steps = self.opened.planner.plan()  # again: what one waited for may have made it all
        if all_there(steps):
            return ended_at_once(self.opened, steps)
        from pipelines.execute import Run
        from pipelines.flow import stages
        from pipelines.run import ray_beside

        self.opened.store.check_writable()
        self.opened.store.sweep()
        trains = any(step.stage == "train" and step.action is not Action.REUSE for step in steps)
        experiment, store = self.opened.experiment, self.opened.store
        run = Run.of(experiment.as_json(), store.url, self.opened.profile.model_dump(mode="json"),
                     remake=tuple(self.opened.planner.remake), path=self.record)
        with ray_beside(self.opened, trains):
            published = stages(run)
        if published.refusals:
            return Completed(name=REFUSED, message=f"{published.uri} is published and not champion: "
                             + "; ".join(published.refusals))
        return Completed(message=f"{published.uri} is published" + (" and champion" if published.promoted else ""))

    def _ended(self, error: BaseException) -> State[Any]:
        if self.stopped.asked:
            return Cancelled(message="Stopped as it was asked to; started again, it goes on from its newest "
                             "checkpoint.")
        return Crashed(message=f"{str(error) or 'Stopped by SIGTERM'}; started again, it goes on from its newest "
                       "checkpoint.")


@flow(name="gan-pipelines", validate_parameters=False)
def scheduled(
    experiment: dict[str, Any], store: str, profile: dict[str, Any] | str | None = None, remake: Iterable[str] = ()
) -> State[Any]:
    """One run of a deployment.  experiment: resolved settings.  profile: settings, or the name of a profile."""
    context = FlowRunContext.get()
    flow_run = context.flow_run if context is not None else None
    assert flow_run is not None  # Prefect calls this within one
    begun = Begun(str(flow_run.id), flow_run.expected_start_time, flow_run.run_count, get_run_logger().info)
    try:
        with sigterm_interrupts():
            return outcome(open_values(experiment, store, profile, remake), begun, datetime.now(UTC))
    except GanError as error:
        return Failed(message=str(error))


def outcome(opened: Opened, begun: Begun, now: datetime) -> State[Any]:
    """What becomes of a run that begins now."""
    late = lateness(opened, begun, now)
    if late is not None:
        late_after = opened.experiment.schedule.late_after
        return Completed(name=LATE, message=f"It began {late} after its time; schedule.late=skip, schedule.late_after="
                         f"{late_after}")
    steps = opened.planner.plan()
    if all_there(steps):
        return ended_at_once(opened, steps)
    return Course(opened, begun, record_path(opened.experiment.name, now)).state()


def open_values(
    experiment: Mapping[str, Any], store: str, profile: Mapping[str, Any] | str | None, remake: Iterable[str]
) -> Opened:
    """A deployment's parameters, checked.  ConfigError for what cannot work."""
    settings, place = experiment_from(experiment), Store(store)
    known = validate(Profile, profile, "profile") if isinstance(profile, Mapping) else load_profile(profile)
    return Opened(settings, known, place, Planner(place, settings, frozenset(remake)))


def lateness(opened: Opened, begun: Begun, now: datetime) -> timedelta | None:
    """How late a run is that should be skipped for it; None for all others.  One that had begun already is not late."""
    schedule = opened.experiment.schedule
    if schedule.late == "run" or begun.due is None or begun.attempt > 1:
        return None
    late = timedelta(seconds=round((now - begun.due).total_seconds()))
    return late if late >= schedule.is_late_after else None


def all_there(steps: Iterable[Step]) -> bool:
    """Whether a plan has nothing to do."""
    return all(step.action is Action.REUSE for step in steps)


def ended_at_once(opened: Opened, steps: list[Step]) -> State[Any]:
    """The state of a run that found every result there; it is recorded in the store like any other."""
    published = nothing_new(opened, steps)[-1].uri
    return Completed(name=NOTHING_NEW, message=f"Nothing that {opened.experiment.name} depends on changed; {published}")


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """SIGTERM raises in this thread what ends a run in order; Prefect's own handler would call it a crash."""

    def heard(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
