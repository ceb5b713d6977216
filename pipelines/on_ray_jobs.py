"""Stages as jobs of a Ray cluster: submitted under a name that anyone finds again, followed, stopped.

    gan-<experiment>-<stage>-<key>-<n>

The orchestrator that starts a job may die: the job goes on, and the next orchestrator, on any machine, finds it by its
name.  What is done is in the store; Ray's table of jobs only says what is at work.  Needs no torch.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from ray.job_submission import JobDetails, JobStatus

from gan_core.errors import ConfigError, Interrupted, WorkersFailed
from gan_core.store import Store
from pipelines.asking import detach_or_stop
from pipelines.handles import Published
from pipelines.interrupt import Detached, StopSignals
from pipelines.jobs_api import JobsApi
from pipelines.json_log import as_plain, handed_on
from pipelines.keys import FEATURES
from pipelines.parity import refuse_other_versions
from pipelines.plan import Step
from pipelines.preflight import Question, heed
from pipelines.preflight_job import examined_by_job
from pipelines.preflight_room import Need
from pipelines.profile import Profile
from pipelines.records import read_record
from pipelines.room import Placed
from pipelines.shipping import runtime_env
from pipelines.stage_order import (
    ENDED,
    STOPPED,
    JobOrder,
    Order,
    Outcome,
    folder,
    newest_number,
    read_outcome,
    record_of,
    write_order,
)
from pipelines.tuning.places import Places

if TYPE_CHECKING:
    from pipelines.backend import Work
    from pipelines.execute import Run

LOOK_S = 0.3
LISTEN_EVERY = 5  # looks
GOES_ON = "the same command goes on with what is left"
BEGINS = "Running entrypoint for job "  # Ray's own last line before the job's first
# exec: a stop signal then meets no shell.  -P: the code is not what lies where Ray was started
PROGRAM = "exec python -P -m pipelines.stage_job"
BEFORE_TRAINING = ("prepare", FEATURES, "train")


@dataclass(frozen=True)
class OnRayJobs:
    """The backend of a profile: each step is one job at a time, however many orchestrators ask for it."""

    profile: Profile

    def do(self, run: Run, step: Step, work: Work) -> Published | None:
        """A job does `work`.  SIGINT and SIGTERM have it stop with a checkpoint; a second one does not wait for that.

        Raises what the job raised, Interrupted, and WorkersFailed when the cluster lost the job or itself.
        """
        def fits(api: JobsApi) -> None:
            self._refuse_unfit(api, run, step)

        order = Order(
            experiment=run.experiment.as_json(), profile=self.profile.in_a_job(), stage=step.stage, record=step.record,
            remake=step.stage in run.remake, prefixes=run.prefixes, digests=run.digests,
        )
        return self.carry_out(run.store, order, run.tell, fits).version()

    def carry_out(
        self, store: Store, order: JobOrder, tell: Callable[[str], None] = lambda detail: None,
        fits: Callable[[JobsApi], None] = lambda api: None,
    ) -> Outcome:
        """A job does what is ordered; signals and errors as of `do`.

        tell: takes how far it is, in words.  fits: raises where the cluster has no room for a new job.
        """
        with StopSignals("a job that was submitted goes on; the same command follows it") as signals:
            api = jobs_api(self.profile, lambda: bool(signals.number))

            def check() -> None:
                fits(api)
                if signals.number:
                    signals.end_now()

            number, heard = submit_or_attach(api, store, order, environment(self.profile), check)
            return Following(api, store, order.name, number, signals, tell, heard).to_its_end()

    def _refuse_unfit(self, api: JobsApi, run: Run, step: Step) -> None:
        """Looks at the cluster before the first job of a run, and again where a later one finds no room: an autoscaler
        may have taken idle nodes away.  Errors as of `preflight.heed`, and of `Placed` where none is wanted.
        """
        stage = "tune" if step.stage == "tune" else "train"
        if step.stage != stage and step.stage not in BEFORE_TRAINING:
            return
        wanted, first = self.profile.preflight.enabled, self not in _looked_at
        try:
            if not (wanted and first):
                among = Places.among if stage == "tune" else Placed.among
                among(api.nodes(), run.experiment, self.profile)
                return
        except ConfigError:
            if not wanted:
                raise
        need = Need.of(stage, run.experiment, self.profile)
        question = Question.of(run.store, run.experiment, need, self.profile)
        given = runtime_env(api, self.profile, environment(self.profile), say)
        found = examined_by_job(api, question, given, given_up=api.given_up)
        if found is not None:
            heed(found)
            _looked_at.add(self)


_looked_at: set[OnRayJobs] = set()  # clusters that this process found fit


def jobs_api(profile: Profile, given_up: Callable[[], bool] = lambda: False) -> JobsApi:
    """The Jobs API of a profile's cluster; errors as of JobsApi.at."""
    assert profile.ray.address is not None  # as a profile of this backend has checked
    return JobsApi.at(profile.ray.address, profile.ray.away_s, given_up)


def logs(profile: Profile, submission_id: str) -> str:
    """All that a job has said so far; '' when the cluster does not know it."""
    return jobs_api(profile).log(submission_id)


def stop(profile: Profile, submission_id: str) -> None:
    """Has a job stop, with a checkpoint where it trains; returns at once.  Nothing where there is no such job."""
    jobs_api(profile).stop(submission_id)


def environment(profile: Profile) -> dict[str, str]:
    """Variables of a job and all its workers: how Ray stops it, the plug-ins where they lie here, the form of logs."""
    files = os.environ.get("GAN_PLUGINS")
    return {
        "RAY_JOB_STOP_SIGNAL": "SIGINT",  # with Ray's own SIGTERM and 3 s there would be no checkpoint
        "RAY_JOB_STOP_WAIT_TIME_S": str(profile.ray.stop_wait_s),
        **({"GAN_PLUGINS": files} if files else {}),
        **handed_on(),
    }


def submit_or_attach(
    api: JobsApi, store: Store, order: JobOrder, variables: Mapping[str, str], check: Callable[[], None] = lambda: None
) -> tuple[int, int]:
    """The attempt that is at work on this order now, and how many characters of its log were there before.

    check: raises what speaks against submitting a job, beside another version of Python, Ray or torch; one that is at
    work already is followed all the same.

    An attempt that the cluster does not know and that never said how it ended died with the cluster, or is about to be
    submitted by another orchestrator: it is submitted under its own number, which Ray takes once.  A number that a run
    on another store has is left to it.
    """
    number = max(1, newest_number(store, order.name))
    while True:
        job = f"{order.name}-{number}"
        entrypoint = f"{PROGRAM} {shlex.join(['--store', store.url, folder(order.name, number)])}"
        found = api.find(job)
        if found is None and not read_outcome(store, order.name, number):
            refuse_other_versions(api, order.profile)
            check()
            write_order(store, number, order)
            if api.submit(job, entrypoint, runtime_env(api, order.profile, variables, say)):
                say(f"{order.stage} is job {job}")
                return number, 0
            continue  # another orchestrator was faster
        if found is not None and not found.status.is_terminal() and found.entrypoint == entrypoint:
            say(f"{order.stage} is job {job}, which is at work already")
            return number, len(api.log(job))
        number += 1


@dataclass
class Following:
    """One job, watched until it ends.  tell: takes how far it is, in words.  heard: characters of its log."""

    api: JobsApi
    store: Store
    name: str
    number: int
    signals: StopSignals
    tell: Callable[[str], None]
    heard: int = 0
    _asked: bool = False
    _told: str = ""

    @property
    def job(self) -> str:
        return f"{self.name}-{self.number}"

    def to_its_end(self) -> Outcome:
        """Says what the job says, and passes a signal on to it.  Raises what it raised."""
        looks = 0
        while True:
            found = self.api.find(self.job)
            over = found is None or found.status.is_terminal()
            if over or looks % LISTEN_EVERY == 0:
                self._listen()
            if over:
                return self._ended(found)
            if self.signals.number and not self._asked:
                self._leave_or_stop()
            looks += 1
            time.sleep(LOOK_S)

    def _listen(self) -> None:
        """Passes on the lines that are new and whole, and how far the job is."""
        text = self.api.log(self.job)
        begins = text.find("\n", text.find(BEGINS)) + 1 if BEGINS in text else len(text)
        start, end = max(self.heard, begins), text.rfind("\n") + 1
        self.heard = max(start, end)
        for line in map(as_plain, text[start:end].splitlines()):
            if not line.startswith(ENDED):
                print(line, file=sys.stderr, flush=True)
        with suppress(Exception):  # every file system has its own, and following never ends a job
            record = read_record(self.store, record_of(self.name, self.number))
            if record is not None and record.detail != self._told:
                self._told = record.detail
                self.tell(record.detail)

    def _leave_or_stop(self) -> None:
        """Ctrl-C on a terminal may have meant either.  Detached where the job is to go on."""
        self.signals.advice = f"job {self.job} goes on; {self._back}"
        if self.signals.number == signal.SIGINT and detach_or_stop(self.job):
            raise Detached(f"job {self.job} goes on; {self._back}")
        self._stop()

    @property
    def _back(self) -> str:
        """How to come back to it."""
        return f"the same command follows it, or `gan jobs attach {self.job} --profile NAME`"

    def _stop(self) -> None:
        self.api.stop(self.job)
        self._asked = True
        self.signals.advice = f"job {self.job} stops by itself; {GOES_ON}"
        say(f"{signal.Signals(self.signals.number).name}: job {self.job} stops, with a checkpoint where it trains; a "
            "second one does not wait for it")

    def _ended(self, found: JobDetails | None) -> Outcome:
        number, outcome = self.signals.number, read_outcome(self.store, self.name, self.number)
        if outcome is None and (found is None or found.status is not JobStatus.STOPPED):
            self._lost(found)
        if number and (outcome is None or outcome.error in ("", STOPPED)):
            self.signals.end_now()
        if outcome is None or outcome.error == STOPPED:
            raise Interrupted(f"job {self.job} was stopped on the cluster; {GOES_ON}")
        if number and outcome.error == Interrupted.__name__:
            said = outcome.message.replace("SIGINT", signal.Signals(number).name, 1)  # Ray passes one signal for all
            raise Interrupted(said, 128 + number)
        if outcome.error:
            outcome.raise_again(self.job)
        return outcome

    def _lost(self, found: JobDetails | None) -> NoReturn:
        """What to raise of a job that ended without a word of its own: that is never the fault of what ran in it."""
        if found is None:
            raise WorkersFailed(f"the Ray cluster at {self.api.address} does not know job {self.job} any more: its "
                                f"head was started anew; {GOES_ON}")
        said = [line.strip() for line in (found.message or "").splitlines() if line.strip()]
        last = said[-1] if said else "no reason given"
        if found.driver_exit_code == 127 or "No module named" in last:
            advice = "start Ray on the cluster's machines in an environment with all that gan-pipelines needs"
        else:
            advice = f"its machine may have been taken away or short of memory; {GOES_ON}"
        status = "" if found.driver_exit_code is None else f" with status {found.driver_exit_code}"
        raise WorkersFailed(f"job {self.job} ended{status} before it could say why: {last}; {advice}")


def say(line: str) -> None:
    print(f"gan: {line}", file=sys.stderr, flush=True)
