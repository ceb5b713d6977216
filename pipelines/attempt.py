"""One attempt at an experiment: it has the lock, a record, a log, and an end that is told in words.

Whatever starts an experiment's stages does so in an attempt: commands, schedules and retries.
"""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Literal

from gan_core.config import Experiment
from gan_core.errors import GanError, GateRefused, Interrupted, StoreError
from gan_core.store import Store
from pipelines.failure import RunFailed, of_the_network, paragraph
from pipelines.interrupt import Terminated
from pipelines.lock import ExperimentLock, Holder
from pipelines.models import now
from pipelines.profile import Profile
from pipelines.records import RunRecord, StageResult, new_record, read_record, record_path, run_name, write_record
from pipelines.run_log import RunLog, log_path

Ended = Literal["done", "nothing new", "failed", "refused", "stopped"]


@dataclass
class Attempt:
    """What is known of it.  path: of its record.  published: a version's URL, for the record.

    error: once it has ended, why not well: what a person is told, with the exit code for it.  lost_flow_run: Prefect's
    id of the run of a dead process whose place this one took.
    """

    store: Store
    experiment: str
    path: str
    lock: ExperimentLock
    log: RunLog
    published: str | None = None
    error: GanError | None = None
    lost_flow_run: str = ""

    @property
    def results(self) -> tuple[StageResult, ...]:
        """What became of each stage, as recorded."""
        found = read_record(self.store, self.path)
        return found.results if found else ()

    def begin(self, record: RunRecord, before: Holder | None) -> None:
        """Records it, and that a run before it was lost."""
        write_record(self.store, self.path, record)
        self.log.write(f"{record.by}: {run_name(self.path)} is process {record.pid} on {record.host}\n")
        if before is not None:
            self.lost_flow_run = mark_lost(self.store, before)
            said = (f"run {run_name(before.run)} of process {before.pid} on {before.host} died without a word; "
                    "what it finished is kept, and this run goes on from there")
            self.log.write(f"{said}\n")
            print(f"gan: {said}", file=sys.stderr)

    def end(self, error: BaseException | None) -> None:
        """Records how it ended, and has `error` say so.  A store that is out keeps no record of it."""
        found = None
        with suppress(OSError, StoreError):
            found = read_record(self.store, self.path)
        outcome, problem = _outcome(error, found), ""
        if error is not None:
            problem = paragraph(self.experiment, found.stage if found else "", error, self.logs)
            problem += f"; {self.lock.why}" if self.lock.why else ""
            self.log.write(f"{problem}\n")
        if isinstance(error, Interrupted):
            self.error = error
        elif isinstance(error, Exception):
            self.error = RunFailed(problem, getattr(error, "exit_code", 1))
        if found is not None:
            with suppress(OSError, StoreError):
                write_record(self.store, self.path, found.model_copy(update={
                    "outcome": outcome, "problem": problem, "published": self.published or "", "ended": now()}))

    @property
    def logs(self) -> str:
        """The command that prints its log."""
        return f"`gan runs logs {run_name(self.path)} --store {self.store.url}`"


@contextmanager
def attempt(
    store: Store, experiment: Experiment, profile: Profile, remake: frozenset[str], *, by: str, flow_run: str = ""
) -> Iterator[Attempt]:
    """Has the lock while the block runs.  An Exception of the block does not leave it: it is in `error` afterwards.

    by: the command, or 'schedule'.  flow_run: Prefect's id.  SIGTERM ends the block as Ctrl-C does.
    AlreadyRunning when somebody else is at it, StoreError when the store does not take the lock or the record.
    """
    started = datetime.now(UTC)
    path = record_path(experiment.name, started)
    record = new_record(experiment.as_json(), started, by=by, store=store.url, profile=profile.model_dump(mode="json"),
                        remake=tuple(sorted(remake)), flow_run=flow_run)
    with (
        _terminated_by_sigterm(),
        ExperimentLock.acquire(store, experiment.name, run=path, flow_run=flow_run) as lock,
        RunLog(store, log_path(path)) as log,
    ):
        made = Attempt(store, experiment.name, path, lock, log)
        made.begin(record, lock.took_over)
        try:
            yield made
        except Exception as error:
            if not isinstance(error, GanError):
                log.error(error)
                if not of_the_network(error):
                    traceback.print_exception(error)
            made.end(error)
        except BaseException as error:
            made.end(error)
            raise
        else:
            made.end(None)


def _outcome(error: BaseException | None, record: RunRecord | None) -> Ended:
    if error is None:
        reused = record is not None and record.results and all(one.status == "REUSED" for one in record.results)
        return "nothing new" if reused else "done"
    if isinstance(error, GateRefused):
        return "refused"
    return "stopped" if isinstance(error, Interrupted) or not isinstance(error, Exception) else "failed"


def mark_lost(store: Store, holder: Holder) -> str:
    """Records it of the run of a dead holder; Prefect's id of that run, where it had one."""
    found = read_record(store, holder.run)
    if found is None:
        return holder.flow_run
    if not found.outcome:
        problem = f"process {holder.pid} on {holder.host} died without a word; the next run goes on from what it kept"
        write_record(store, holder.run, found.model_copy(update={
            "outcome": "lost", "problem": problem, "ended": found.updated}))
    return holder.flow_run or found.flow_run


@contextmanager
def _terminated_by_sigterm() -> Iterator[None]:
    """Unless the process has its own way with SIGTERM, or this is no thread that has signals."""
    unset = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if not unset or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> Any:
    raise Terminated
