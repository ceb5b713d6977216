"""`gan run`: plans first, starts only what is needed, follows the run, and says what came of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from gan_core.config import Experiment, experiment_from, read_yaml, with_overrides
from gan_core.errors import ConfigError, GateRefused
from gan_core.store import Store
from pipelines.attempt import attempt
from pipelines.cluster import connect, ray_for_a_while, start_ray
from pipelines.heartbeats import HEARTBEATS
from pipelines.keys import STAGES
from pipelines.models import now
from pipelines.notify import tell_outcome
from pipelines.outcome import Outcome
from pipelines.plan import Action, Planner, Step
from pipelines.profile import RAY_JOBS, Profile
from pipelines.progress import following
from pipelines.records import StageResult, new_record, record_path, write_record
from pipelines.server import TemporaryServer, check_server, configured_server
from pipelines.show import result_table


@dataclass(frozen=True)
class Opened:
    """An experiment on a store, ready to be planned."""

    experiment: Experiment
    profile: Profile
    store: Store
    planner: Planner


def open_experiment(
    path: str, store: str, overrides: Iterable[str], profile: Profile, remake: Iterable[str],
    stages: tuple[str, ...] = STAGES,
) -> Opened:
    """Reads and checks everything that a plan needs.  ConfigError for what cannot work.  stages: that it may have."""
    experiment = with_profile(path, overrides, profile)
    for stage in remake:
        if stage not in stages:
            raise ConfigError(f"--remake {stage}: no such stage; known: {', '.join(stages)}")
    place = Store(store)
    return Opened(experiment, profile, place, Planner(place, experiment, frozenset(remake)))


def open_to_run(
    path: str, store: str, overrides: Iterable[str], profile: Profile, remake: Iterable[str],
    stages: tuple[str, ...] = STAGES,
) -> Opened:
    """An experiment on a store that several processes can write to."""
    opened = open_experiment(path, store, overrides, profile, remake, stages)
    make_ready(opened.store)
    return opened


def make_ready(store: Store) -> None:
    """Sweeps a store that a run will write to.  ConfigError for one that it cannot."""
    if store.url.startswith("memory://"):
        raise ConfigError(f"--store {store.url}: lives in one process, and a run has several; --store ./store works")
    store.check_writable()
    store.sweep()


def with_profile(path: str, overrides: Iterable[str], profile: Profile) -> Experiment:
    """The experiment with the profile's number of workers, unless `--set` names one."""
    return experiment_from(with_overrides(read_yaml(path), [*profile.overrides, *overrides]), where=path)


def run_experiment(
    path: str, store: str, overrides: Iterable[str], profile: Profile, remake: Iterable[str]
) -> Outcome:
    """One run, shown as it goes.  ConfigError before anything starts; later errors are in the outcome."""
    return run_opened(open_to_run(path, store, overrides, profile, remake), by="gan run")


def run_opened(opened: Opened, by: str) -> Outcome:
    """The same of what is open to run.  by: the command that a record names."""
    steps = opened.planner.plan()
    if all(step.action is Action.REUSE for step in steps) and configured_server() is None:
        results = nothing_new(opened, steps, by)
        outcome = Outcome(results, results[-1].uri, None)
    else:
        outcome = _run_flow(opened, steps, by)
    result_table(opened.store, opened.experiment, outcome)
    return outcome


def nothing_new(opened: Opened, steps: list[Step], by: str) -> tuple[StageResult, ...]:
    """Results from the plan alone; the run is recorded, neither Prefect nor Ray is started."""
    started = datetime.now(UTC)
    results = tuple(
        StageResult(name=step.stage, status="REUSED", seconds=0.0, uri=opened.store.uri(step.prefix))
        for step in steps
    )
    record = new_record(
        opened.experiment.as_json(),
        started,
        by=by,
        store=opened.store.url,
        profile=opened.profile.model_dump(mode="json"),
        stages={step.stage: step.record for step in steps},
        results=results,
        outcome="nothing new",
        published=results[-1].uri if results[-1].name == "publish" else "",
        ended=now(),
    )
    write_record(opened.store, record_path(opened.experiment.name, started), record)
    return results


def _run_flow(opened: Opened, steps: list[Step], by: str) -> Outcome:
    experiment, store = opened.experiment, opened.store
    if (url := configured_server()) is not None:
        check_server(url)
    trains = any(step.stage == "train" and step.action is not Action.REUSE for step in steps)
    published = None
    with (
        attempt(store, experiment, opened.profile, opened.planner.remake, by=by) as made,
        ray_beside(opened, trains),
        following(store, experiment, made.path, "starting Prefect and Ray", made.log),
    ):
        refuse_unfit(opened, "train" if trains else "")
        server = TemporaryServer.start() if url is None else None
        if server is None:
            os.environ.update({name: os.environ.get(name, value) for name, value in HEARTBEATS.items()})
        from prefect import tags  # seconds that a plan does not need

        from pipelines.flow import pipeline
        from pipelines.flow_runs import close_lost

        if server is not None:
            server.wait()
        else:
            close_lost(made.lock.took_over, made.lost_flow_run)
        with tags("gan-pipelines", experiment.name):
            published = pipeline(
                experiment.as_json(),
                store.url,
                opened.profile.model_dump(mode="json"),
                remake=tuple(opened.planner.remake),
                record=made.path,
            )
        made.published = published.uri
        if published.refusals:
            raise GateRefused("; ".join(published.refusals) + f"; {published.uri} is published and not champion")
    if (ended := published or made.error) is not None:
        tell_outcome(store, experiment, ended, str(made.error or ""))
    return Outcome(made.results, made.published, made.error)


@contextmanager
def ray_beside(opened: Opened, wanted: bool, workers: int | None = None) -> Iterator[None]:
    """Ray starts while the data is prepared and whatever else starts; what needs it waits for it.

    workers: processes that must find room; those of training where nothing is said.
    """
    with ray_for_a_while():
        if wanted:
            start_ray(opened.profile, workers or opened.experiment.train.most_workers)
        yield


def refuse_unfit(opened: Opened, stage: str) -> None:
    """Looks at the cluster that this process joins before anything starts there, where it is not this machine's own.

    stage: `train` or `tune`, which has to find room; '' where nothing works there.  Errors as of `preflight.heed`.  A
    cluster that takes jobs is looked at before the first one is submitted.
    """
    profile = opened.profile
    if not stage or profile.ray.address is None or profile.backend == RAY_JOBS or not profile.preflight.enabled:
        return
    from pipelines.preflight import Question, examine, heed  # asks Ray, which takes a second to import
    from pipelines.preflight_room import Need

    connect(profile, opened.experiment.train.most_workers)
    need = Need.of(stage, opened.experiment, profile)
    heed(examine(Question.of(opened.store, opened.experiment, need, profile)))
