"""`gan tune`: prepares the data where it is not there, searches, and has the best settings trained and published."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from gan_core.errors import ConfigError, StoreError
from gan_core.search_space import refuse_unsearchable, with_values
from gan_core.store import Store
from pipelines.attempt import Attempt, attempt
from pipelines.execute import Run
from pipelines.handles import Tuned
from pipelines.heartbeats import HEARTBEATS
from pipelines.notify import tell_outcome
from pipelines.outcome import Outcome
from pipelines.plan import Action, Planner, Step
from pipelines.profile import Profile
from pipelines.progress import following
from pipelines.retries import Retries
from pipelines.run import Opened, nothing_new, open_to_run, ray_beside, refuse_unfit, run_opened
from pipelines.server import check_server, configured_server
from pipelines.show import console, result_table
from pipelines.stages.tune import refuse_without_space
from pipelines.tuning.leaderboard import leaderboard
from pipelines.tuning.records import Search, read_search
from pipelines.tuning.results import BEST, REPORT
from pipelines.tuning.settings import tune_of
from pipelines.tuning.show import as_json, leaderboard_table

STAGES = ("prepare", "tune")
BY = "gan tune"
SHOWN = 10  # lines of the leaderboard, where all are in the report
T = TypeVar("T")


@dataclass(frozen=True)
class TuneOutcome(Outcome):
    """What became of preparation and search.  search: None where it was not begun."""

    search: Search | None = None

    def as_json(self) -> dict[str, Any]:
        """{"stages": [...], "search": the leaderboard}."""
        found = self.search
        return {"stages": self.stages(), "search": found and as_json(found, leaderboard(found))}

    def made(self, store: Store) -> tuple[tuple[str, str, str], ...]:
        if self.error is not None or self.search is None:
            return ()
        return ("best settings", self.search.prefix, BEST), ("report", self.search.prefix, REPORT)


def search_steps(opened: Opened) -> list[Step]:
    """What a search would do, stage by stage."""
    prepare = opened.planner.step("prepare", {})
    known = {"prepare": prepare.digest} if prepare.action is Action.REUSE else {}
    return [prepare, opened.planner.step("tune", known)]


def tune_experiment(
    path: str, store: str, overrides: Iterable[str], profile: Profile, remake: Iterable[str], resume: bool
) -> tuple[Opened, TuneOutcome]:
    """One search, shown as it goes.  ConfigError before anything starts; later errors are in the outcome.

    resume: ConfigError where no search of these settings was begun in the store.
    """
    opened = open_to_run(path, store, overrides, profile, remake, STAGES)
    refuse_without_space(opened.experiment)
    refuse_unsearchable(opened.experiment)
    steps = search_steps(opened)
    begun = steps[-1].prefix and read_search(opened.store, steps[-1].prefix) is not None
    if resume and not begun:
        raise ConfigError(f"--resume: no search of {path} with these settings was begun in {opened.store.url}; without "
                          "--resume it is")
    return opened, tune_opened(opened, steps)


def tune_opened(opened: Opened, steps: list[Step]) -> TuneOutcome:
    """The same of what is open to run."""
    if all(step.action is Action.REUSE for step in steps):
        outcome = TuneOutcome(nothing_new(opened, steps, BY), None, None, read_search(opened.store, steps[-1].prefix))
        console().print(f"nothing to do: {opened.experiment.name} is searched already")
    else:
        outcome = _tune(opened, steps)
    if outcome.search is not None and outcome.search.trials:
        out = console()
        out.print(leaderboard_table(leaderboard(outcome.search)[:SHOWN], out.width))
    result_table(opened.store, opened.experiment, outcome)
    return outcome


def publish_best(opened: Opened, search: Search) -> Outcome:
    """Trains the best settings at full length, and evaluates and publishes what they make."""
    best = leaderboard(search)[0]
    experiment = with_values(opened.experiment, best.params)
    console().print(f"\ntrial {best.number} at full length, {experiment.train.images:,} images")
    planner = Planner(opened.store, experiment)
    return run_opened(Opened(experiment, opened.profile, opened.store, planner), by=BY)


def _tune(opened: Opened, steps: list[Step]) -> TuneOutcome:
    if (url := configured_server()) is not None:
        check_server(url)
    store, experiment = opened.store, opened.experiment
    searches = steps[-1].action is not Action.REUSE
    search = None
    with (
        attempt(store, experiment, opened.profile, opened.planner.remake, by=BY) as made,
        ray_beside(opened, searches, tune_of(experiment).workers),
        following(store, experiment, made.path, "starting Ray", made.log),
    ):
        refuse_unfit(opened, "tune" if searches else "")
        tuned = _plain(opened, made.path) if url is None else _as_flow(opened, made)
        search = read_search(store, tuned.prefix)
    if made.error is not None:
        tell_outcome(store, experiment, made.error, str(made.error))
        search = _begun(opened)
    return TuneOutcome(made.results, None, made.error, search)


def _plain(opened: Opened, record: str) -> Tuned:
    """In this process, seen by nobody else."""
    run = Run.of(
        opened.experiment.as_json(), opened.store.url, opened.profile.model_dump(mode="json"),
        remake=tuple(opened.planner.remake), path=record,
    )
    shards = _retried(run, "prepare", run.prepare)
    return _retried(run, "tune", lambda: run.tune(shards))


def _as_flow(opened: Opened, made: Attempt) -> Tuned:
    """As a flow run on the server."""
    os.environ.update({name: os.environ.get(name, value) for name, value in HEARTBEATS.items()})
    from prefect import tags  # seconds that a search without a server does not need

    from pipelines.flow_runs import close_lost
    from pipelines.tuning.flow import search

    close_lost(made.lock.took_over, made.lost_flow_run)
    with tags("gan-pipelines", opened.experiment.name):
        return search(
            opened.experiment.as_json(), opened.store.url, opened.profile.model_dump(mode="json"),
            tuple(opened.planner.remake), made.path,
        )


def _begun(opened: Opened) -> Search | None:
    """The search as far as it came; None before its trials."""
    with suppress(StoreError):
        prefix = search_steps(opened)[-1].prefix
        return read_search(opened.store, prefix) if prefix else None
    return None


def _retried(run: Run, stage: str, work: Callable[[], T]) -> T:
    return Retries.of(run.profile, stage, lambda error: run.waits(stage, error))(work)
