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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Crashed, Failed

from gan_core.config import experiment_from, validate
from gan_core.errors import GanError, GateRefused, Interrupted
from gan_core.store import Store
from pipelines.attempt import Attempt, attempt
from pipelines.failure import paragraph
from pipelines.handles import Published
from pipelines.interrupt import Terminated
from pipelines.lock import AlreadyRunning
from pipelines.plan import Action, Planner, Step
from pipelines.profile import Profile, load_profile
from pipelines.run import Opened, nothing_new

REUSED = "REUSED"
LOOK_S = 3.0  # between looks whether the run before has ended
NOTHING_NEW, LATE, OVERLAPPING, REFUSED = "Nothing new", "Skipped: late", "Skipped: another is at work", "Gate refused"


@dataclass(frozen=True)
class Begun:
    """What the server says of a run.  due: when it should have begun.  attempt: 1 for the first."""

    id: str = ""
    due: datetime | None = None
    attempt: int = 1
    say: Callable[[str], None] = print


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
    except Exception as error:  # of the settings or the plan; what happens later is in the attempt's words already
        if not isinstance(error, GanError):
            get_run_logger().exception("not expected")
        message = paragraph(str(experiment.get("name")), "", error, "with this flow run")
        _tell("failed", f"{experiment.get('name')}: failed", message)
        return Failed(message=message)


def outcome(opened: Opened, begun: Begun, now: datetime) -> State[Any]:
    """What becomes of a run that begins now."""
    late, schedule = lateness(opened, begun, now), opened.experiment.schedule
    if late is not None:
        how = (f"It began {late} after its time; schedule.late={schedule.late}, "
               f"schedule.late_after={schedule.late_after}")
        _tell("late", f"{opened.experiment.name}: late", how)
        if schedule.late == "skip":
            return Completed(name=LATE, message=how)
    steps = opened.planner.plan()
    if all_there(steps):
        return ended_at_once(opened, steps)
    try:
        return worked(opened, begun)
    except AlreadyRunning as other:
        return Completed(name=OVERLAPPING, message=f"Process {other.holder.pid} on {other.holder.host} is at work "
                         f"since {other.holder.taken}; schedule.overlapping=skip")


def worked(opened: Opened, begun: Begun) -> State[Any]:
    """Does what there is to do, with the experiment's lock.  AlreadyRunning where the settings do not wait for it."""
    made, published = None, None
    try:
        with ExitStack() as stack:
            made = _attempt(opened, begun, stack)
            _close_lost(made, begun)
            published = _publish(opened, stack, made)
            made.published = published.uri
            if published.refusals:
                raise GateRefused(f"{'; '.join(published.refusals)}; {published.uri} is published and not champion")
    except KeyboardInterrupt:
        return _stopped(made, "stopped by SIGTERM")
    _tell_outcome(opened, published, made)
    if made.error is None:
        nothing_new_in_it = {result.status for result in made.results} == {REUSED}
        return Completed(name=NOTHING_NEW if nothing_new_in_it else None, message=f"{made.published} is published")
    if isinstance(made.error, Interrupted):
        return _stopped(made, str(made.error).partition(";")[0])
    if made.error.exit_code == GateRefused.exit_code:
        return Completed(name=REFUSED, message=str(made.error))
    return Failed(message=str(made.error))


def _attempt(opened: Opened, begun: Begun, stack: ExitStack) -> Attempt:
    """Waits for the lock where the settings say so."""
    told = -1
    while True:
        try:
            return stack.enter_context(attempt(opened.store, opened.experiment, opened.profile, opened.planner.remake,
                                               by="schedule", flow_run=begun.id))
        except AlreadyRunning as other:
            if opened.experiment.schedule.overlapping == "skip":
                raise
            if other.holder.number != told:
                told = other.holder.number
                begun.say(f"waits: {other}")
        time.sleep(LOOK_S)


def _publish(opened: Opened, stack: ExitStack, made: Attempt) -> Published:
    """The stages, with Ray for as long as the stack is open."""
    from pipelines.execute import Run
    from pipelines.flow import stages
    from pipelines.progress import following
    from pipelines.run import ray_beside, refuse_unfit

    opened.store.check_writable()
    opened.store.sweep()
    steps = opened.planner.plan()  # again: what one waited for may have made it
    trains = any(step.stage == "train" and step.action is not Action.REUSE for step in steps)
    stack.enter_context(ray_beside(opened, trains))
    stack.enter_context(following(opened.store, opened.experiment, made.path, "starting Ray", made.log))
    refuse_unfit(opened, "train" if trains else "")
    return stages(Run.of(opened.experiment.as_json(), opened.store.url, opened.profile.model_dump(mode="json"),
                         remake=tuple(opened.planner.remake), path=made.path))


def _close_lost(made: Attempt, begun: Begun) -> None:
    """The flow run of a process that died with the lock, unless it is this one, started again."""
    from pipelines.flow_runs import close_lost

    lost = made.lost_flow_run
    if lost != begun.id and close_lost(made.lock.took_over, lost):
        begun.say(f"flow run {lost} is closed: its process is gone")


def _tell_outcome(opened: Opened, published: Published | None, made: Attempt) -> None:
    """Tells whoever GAN_NOTIFY names."""
    from pipelines.notify import tell_outcome

    ended = published or made.error
    if ended is not None:
        tell_outcome(opened.store, opened.experiment, ended, str(made.error or ""))


def _tell(event: str, title: str, text: str) -> None:
    from pipelines.notify import Event, tell

    tell(Event(event), title, text)


def _stopped(made: Attempt | None, how: str) -> State[Any]:
    """Cancelled where somebody asked for it; else whatever ended the process may start it again."""
    goes_on = "started again, it goes on from its newest checkpoint"
    if made is not None and made.lock.why and not made.lock.lost.is_set():
        return Cancelled(message=f"{made.lock.why}; {goes_on}")
    return Crashed(message=f"{how}; {goes_on}")


def open_values(
    experiment: Mapping[str, Any], store: str, profile: Mapping[str, Any] | str | None, remake: Iterable[str]
) -> Opened:
    """A deployment's parameters, checked.  ConfigError for what cannot work."""
    settings, place = experiment_from(experiment), Store(store)
    known = validate(Profile, profile, "profile") if isinstance(profile, Mapping) else load_profile(profile)
    return Opened(settings, known, place, Planner(place, settings, frozenset(remake)))


def lateness(opened: Opened, begun: Begun, now: datetime) -> timedelta | None:
    """How late a run is by its settings; None for one that is not, and for one that had begun already."""
    if begun.due is None or begun.attempt > 1:
        return None
    late = timedelta(seconds=round((now - begun.due).total_seconds()))
    return late if late >= opened.experiment.schedule.is_late_after else None


def all_there(steps: Iterable[Step]) -> bool:
    """Whether a plan has nothing to do."""
    return all(step.action is Action.REUSE for step in steps)


def ended_at_once(opened: Opened, steps: list[Step]) -> State[Any]:
    """The state of a run that found every result there; it is recorded in the store like any other."""
    published = nothing_new(opened, steps, by="schedule")[-1].uri
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
