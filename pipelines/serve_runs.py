"""`gan serve`: has the runs of deployments executed on this machine, one process a run.

The processes do not depend on this one: where it is killed they go on, and the next `gan serve` finds them.  Nor does
it depend on Prefect's server answering: while that is away runs go on, and what became of them is told when it is back.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun

from gan_core.errors import GanError
from pipelines.flow_processes import FlowProcess
from pipelines.flow_runs import (
    dead_holder,
    note_process,
    runs_at_work,
    runs_due,
    settle,
    still_waits,
    take,
    was_here,
)
from pipelines.interrupt import StopSignals

TICK_S = 0.25  # between looks at the processes
ASK_S = 1.0  # between questions to the server
LONGEST_WAIT_S = 15.0  # between questions to a server that does not answer
STOP_S = 120.0  # that a process has for a checkpoint
LAST_WORDS_S = 20.0  # for a server that is away when this ends


@dataclass
class Served:
    """A run and its process.  None when that is gone; `gone` then says how.

    cancelled: when it was told to end because the run was.
    """

    run: FlowRun
    process: FlowProcess | None
    gone: str = f"on {socket.gethostname()} is gone"
    since: float = field(default_factory=time.monotonic)
    cancelled: float | None = None

    @property
    def how(self) -> str:
        """What is known of the process's end."""
        return f"on {socket.gethostname()} {self.process.how}" if self.process else self.gone


@dataclass
class Service:
    """The runs of deployments, whose names are `names`.  say: takes one line of the log."""

    client: SyncPrefectClient
    names: Mapping[UUID, str]
    signals: StopSignals
    say: Callable[[str], None]
    at_work: list[Served] = field(default_factory=list)
    ended: list[Served] = field(default_factory=list)
    waiting: set[UUID] = field(default_factory=set)
    _recovered: bool = False
    _refusals: int = 0
    _ask_at: float = 0.0

    def run(self) -> None:
        """Until a signal; then has the processes end, and tells what became of them."""
        while not self.signals.number:
            self._look()
            if time.monotonic() >= self._ask_at:
                self._reach(self._ask)
            time.sleep(TICK_S)
        self._stop()

    def _look(self) -> None:
        """Which processes ended; told at once."""
        for served in [served for served in self.at_work if served.process and served.process.ended]:
            self.at_work.remove(served)
            self.ended.append(served)
            self._ask_at = 0.0
        for served in self.at_work:
            if served.process and served.cancelled and time.monotonic() - served.cancelled > STOP_S:
                served.process.kill()

    def _reach(self, ask: Callable[[], None]) -> bool:
        """Whether the server answered; a server that does not is asked again, ever less often."""
        try:
            ask()
        except HTTPError as error:
            self._refusals += 1
            if self._refusals == 1:
                why = (str(error) or type(error).__name__).splitlines()[0]
                self.say(f"the Prefect server does not answer ({why}); runs at work go on: {len(self.at_work)}")
            self._ask_at = time.monotonic() + min(LONGEST_WAIT_S, 2.0**self._refusals)
            return False
        if self._refusals:
            self.say("the Prefect server answers again")
        self._refusals, self._ask_at = 0, time.monotonic() + ASK_S
        return True

    def _ask(self) -> None:
        """One exchange with the server."""
        if not self._recovered:
            self._recover()
            self._recovered = True
        self._tell_ended(stopped=False)
        self.waiting = {run for run in self.waiting if still_waits(self.client, run)}
        self._heed_cancelled()
        self._start_due()

    def _recover(self) -> None:
        """Takes up runs whose processes are alive, and closes those whose processes are gone."""
        known = {served.run.id for served in [*self.at_work, *self.ended]}
        for run in runs_at_work(self.client, self.names):
            if run.id in known:
                continue
            if (process := FlowProcess.found(run.id)) is not None:
                self.say(f"{self._called(run)}  is still at work, process {process.process.pid}")
                self.at_work.append(Served(run, process))
            elif was_here(run):
                self.ended.append(Served(run, None))
            elif (gone := self._gone_elsewhere(run)) is not None:
                self.ended.append(Served(run, None, gone))

    def _gone_elsewhere(self, run: FlowRun) -> str | None:
        """Which process of another machine, or of this one by another name, had the lock for a run and is dead."""
        try:
            dead = dead_holder(run)
        except GanError as error:
            self.say(f"{self._called(run)}  may be at work or not: {error}")
            return None
        return None if dead is None else f"{dead.pid} on {dead.host} is gone"

    def _tell_ended(self, stopped: bool) -> None:
        while self.ended:
            served = self.ended[0]
            settled = settle(self.client, served.run.id, served.how, stopped=stopped)
            if settled.again:
                self.waiting.add(served.run.id)
            self.ended.pop(0)
            seconds = f"  after {time.monotonic() - served.since:.1f} s" if served.process else ""
            self.say(f"{self._called(served.run)}  ended{seconds}  {settled.words}")

    def _heed_cancelled(self) -> None:
        """Has the processes end whose runs somebody cancelled."""
        if not self.at_work:
            return
        states = {run.id: run.state for run in runs_at_work(self.client, self.names)}
        for served in self.at_work:
            state = states.get(served.run.id)
            if served.process and state is not None and state.is_cancelling() and served.cancelled is None:
                self.say(f"{self._called(served.run)}  is cancelled; it ends after a checkpoint")
                served.cancelled = time.monotonic()
                served.process.stop()

    def _start_due(self) -> None:
        """One run of a deployment at a time; the others stay scheduled, at no cost, unless they are to be skipped."""
        for run in runs_due(self.client, self.names):
            busy = any(served.run.deployment_id == run.deployment_id for served in self.at_work)
            if self.signals.number or (busy and not _skips(run)) or not take(self.client, run):
                continue
            self.waiting.discard(run.id)
            process = FlowProcess.start(run.id)
            self.at_work.append(Served(run, process))
            note_process(self.client, run.id, process.process.pid)
            self.say(f"{self._called(run)}  starts, process {process.process.pid}")

    def _stop(self) -> None:
        """Processes end after a checkpoint, or by SIGKILL after STOP_S; their runs go on with the next service."""
        deadline = time.monotonic() + STOP_S
        if self.at_work:
            self.say(f"stops; {len(self.at_work)} at work, which make a checkpoint")
        for served in self.at_work:
            if served.process:
                served.process.stop()
        while self.at_work and time.monotonic() < deadline:
            self._look()
            time.sleep(TICK_S)
        for served in self.at_work:
            if served.process:
                served.process.kill()
        self.ended += self.at_work
        deadline = time.monotonic() + LAST_WORDS_S
        while self.ended and not self._reach(lambda: self._tell_ended(stopped=True)) and time.monotonic() < deadline:
            time.sleep(1.0)

    def _called(self, run: FlowRun) -> str:
        name = self.names.get(run.deployment_id, "") if run.deployment_id else ""
        return f"{name.rpartition('/')[2]} {run.name}"


def _skips(run: FlowRun) -> bool:
    """Whether a run is to find another at work, rather than to wait for its end."""
    return bool(run.parameters.get("experiment", {}).get("schedule", {}).get("overlapping") == "skip")
