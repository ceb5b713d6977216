"""The runs of a store, of all machines, by their records: find one, tell how it stands, stop it, do it again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gan_core.config import experiment_from
from gan_core.errors import ConfigError, DamagedFile, GanError
from gan_core.store import Store
from pipelines.follow import latest_progress
from pipelines.keys import STAGES
from pipelines.lock import Holder, ask_to_cancel, live_holder
from pipelines.profile import Profile
from pipelines.records import RunRecord, read_record, run_name
from pipelines.run_log import log_path

if TYPE_CHECKING:
    from pipelines.outcome import Outcome

RUNNING, LOST = "running", "lost"
LATEST = "latest"
LISTEN_S = 1.0
MENTIONED = 5  # runs that an error lists


@dataclass(frozen=True)
class Listed:
    """A run.  path: of its record.  state: running, or a record's outcome.  holder: who runs it now."""

    path: str
    record: RunRecord
    state: str
    holder: Holder | None = None

    @property
    def name(self) -> str:
        return run_name(self.path)

    @property
    def experiment(self) -> str:
        return self.name.partition("/")[0]

    @property
    def seconds(self) -> float:
        """From its start to its end, so far while it runs; of a run that died, to the last sign of it."""
        record = self.record
        end = datetime.now(UTC).isoformat() if self.state == RUNNING else record.ended or record.updated
        if not end:
            return sum(result.seconds for result in record.results)
        return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(record.started)).total_seconds())


def list_runs(store: Store, experiment: str | None = None, limit: int | None = None) -> list[Listed]:
    """Newest first.  Where a holder of another host may be dead it is watched for up to a lease.

    ConfigError for an experiment that never ran here.
    """
    paths = sorted(_paths(store, experiment), key=lambda path: path.rpartition("/")[2], reverse=True)
    holder_of = cache(lambda name: live_holder(store, name))
    records = ((path, _read(store, path)) for path in paths[:limit])
    return [_listed(store, path, record, holder_of) for path, record in records if record is not None]


def find_run(store: Store, address: str) -> Listed:
    """A run by name, by the beginning of one, or as EXPERIMENT@latest.  ConfigError says what there is."""
    experiment, _, begins = address.partition("@" if "@" in address else "/")
    names = sorted(_paths(store, experiment), reverse=True)
    if "@" in address and begins != LATEST:
        raise ConfigError(f"{address}: a run is named as {experiment}@{LATEST} or {run_name(names[0])}")
    found = names[:1] if begins == LATEST else [name for name in names if run_name(name).startswith(address)]
    if len(found) != 1:
        said = "no such run" if not found else f"{len(found)} runs begin so"
        there = ", ".join(run_name(name) for name in (found or names)[:MENTIONED])
        raise ConfigError(f"{address}: {said} in {store.url}; the newest: {there}")
    record = _read(store, found[0])
    if record is None:
        raise DamagedFile(f"{store.uri(found[0])}: cannot be understood; `gan runs list` prints what can be")
    return _listed(store, found[0], record, lambda name: live_holder(store, name))


def position(store: Store, run: Listed) -> int | None:
    """Images that training has seen; None where it does not train."""
    if run.record.running != "train" or not run.record.prefix:
        return None
    progress = latest_progress(store, run.record.prefix)
    return progress.position if progress else 0


def as_json(store: Store, run: Listed) -> dict[str, Any]:
    """What lists print of a run, as plain values."""
    record = run.record
    return {
        "run": run.name, "experiment": run.experiment, "state": run.state, "stage": record.stage,
        "position": position(store, run), "started": record.started, "ended": record.ended,
        "seconds": round(run.seconds, 1), "published": record.published, "by": record.by, "host": record.host,
        "pid": record.pid, "flow_run": record.flow_run, "problem": record.problem,
    }


def log_of(store: Store, run: Listed) -> str:
    """What it has said so far.  ConfigError when no log was kept."""
    try:
        return store.read(log_path(run.path)).decode(errors="replace")
    except FileNotFoundError:
        raise ConfigError(f"{run.name}: has no log in {store.url}; runs that found nothing to do, and those of before "
                          "logs were kept, have none") from None


def follow_log(store: Store, run: Listed) -> Iterator[str]:
    """What it has said, and what it says until it ends."""
    seen, over = "", False
    while not over:
        over = find_run(store, run.name).state != RUNNING
        text = log_of(store, run) if over or store.exists(log_path(run.path)) else ""
        yield text.removeprefix(seen)  # of a log whose middle was left out, all
        seen = text
        if not over:
            time.sleep(LISTEN_S)


def cancel(store: Store, run: Listed, reason: str) -> Holder:
    """Asks the process that runs it to stop.  GanError when none does."""
    if run.holder is None:
        raise GanError(f"{run.name} is not running: {run.state}; `gan runs list {run.experiment} --store {store.url}` "
                       "prints what is")
    ask_to_cancel(store, run.experiment, run.holder.number, reason)
    return run.holder


def retry(store: Store, run: Listed, from_: str | None) -> Outcome:
    """Runs what was recorded, with its settings and its profile.

    from_: the first stage to be made anew; without one, what the run was asked to make again and did not.  ConfigError
    for no stage.
    """
    from pipelines import evaluate_run, train_run
    from pipelines.plan import Planner
    from pipelines.run import Opened, make_ready, run_opened
    from pipelines.tuning.run import STAGES as STAGES_OF_SEARCH
    from pipelines.tuning.run import search_steps, tune_opened

    record = run.record
    stages = STAGES_OF_SEARCH if record.searches else STAGES
    if from_ is not None and from_ not in stages:
        raise ConfigError(f"--from {from_}: no such stage; known: {', '.join(stages)}")
    done = {result.name for result in record.results if result.done}
    remake = frozenset(record.remake) - done if from_ is None else frozenset(stages[stages.index(from_):])
    experiment = experiment_from(record.experiment, where=run.name)
    opened = Opened(experiment, Profile.model_validate(record.profile), store, Planner(store, experiment, remake))
    make_ready(store)
    if record.searches:
        return tune_opened(opened, search_steps(opened))
    match record.by:
        case train_run.BY:
            return train_run.train_opened(opened)
        case evaluate_run.BY:
            return evaluate_run.evaluate_opened(opened)
    return run_opened(opened, "gan runs retry")


def _listed(store: Store, path: str, record: RunRecord, holder_of: Callable[[str], Holder | None]) -> Listed:
    if record.outcome:
        return Listed(path, record, record.outcome)
    if not record.host:  # of before records said how runs end
        return Listed(path, record, _inferred(record))
    holder = holder_of(path.split("/")[1])
    if holder is not None and holder.run == path:
        return Listed(path, record, RUNNING, holder)
    ended = _read(store, path) or record  # it may have ended between the two looks, and says so before it lets go
    return Listed(path, ended, ended.outcome or LOST)


def _inferred(record: RunRecord) -> str:
    last = record.results[-1].status if record.results and not record.running else ""
    return {"": LOST, "FAILED": "failed", "STOPPED": "stopped"}.get(last, "done")


def _paths(store: Store, experiment: str | None) -> list[str]:
    """Of the records of an experiment, or of all."""
    known = store.names("experiments")
    if experiment is not None and experiment not in known:
        raise ConfigError(f"{experiment}: no such experiment has run in {store.url}; known: "
                          f"{', '.join(known) or 'none'}")
    wanted = known if experiment is None else [experiment]
    return [f"experiments/{name}/{file}" for name in wanted for file in store.names(f"experiments/{name}")]


def _read(store: Store, path: str) -> RunRecord | None:
    """None for what another version of this program wrote and this one cannot understand."""
    try:
        return read_record(store, path)
    except ValidationError:
        return None
