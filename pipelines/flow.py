"""The Prefect flow: the DAG, and what Prefect is shown of it.

Stages are plain functions; this is the one place where they become tasks.  Prefect's result cache stays off: a stage is
done when its files are there.  Nothing is retried here that a person would have to put right.
"""

from __future__ import annotations

from typing import Any, ParamSpec, TypeVar

from prefect import Task, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext, TagsContext

from pipelines.artifacts_prefect import Training, show_published, show_samples
from pipelines.execute import Run
from pipelines.follow import Follower
from pipelines.handles import Published, Scored, Shards, Trained
from pipelines.retries import Retries

P = ParamSpec("P")
R = TypeVar("R")


@flow(name="gan-pipelines", flow_run_name="{experiment[name]}", validate_parameters=False)
def pipeline(
    experiment: dict[str, Any], store: str, profile: dict[str, Any], remake: tuple[str, ...] = (), record: str = ""
) -> Published:
    """From a data set to a published generator.  record: where the run is recorded; a new place when empty."""
    run, context = Run.of(experiment, store, profile, remake, record), FlowRunContext.get()
    if context is not None and context.flow_run is not None:
        run.is_flow_run(str(context.flow_run.id))
    return stages(run)


def stages(run: Run) -> Published:
    """The DAG, in whichever flow calls it."""
    with TagsContext(current_tags=set()):  # of tasks with the flow's tags Prefect asks the server for each tag's limit
        shards = retried(prepare, run)(run)
        trained = retried(train, run)(run, shards)
        scored = retried(evaluate, run)(run, shards, trained)
        return retried(publish, run)(run, trained, scored)


@task(cache_policy=NO_CACHE)
def prepare(run: Run) -> Shards:
    """Source → shards."""
    return run.prepare()


@task(cache_policy=NO_CACHE)
def train(run: Run, shards: Shards) -> Trained:
    """Shards → trained generator."""
    shown = Training(run)
    with Follower(run.store, lambda: run.prefixes.get("train", ""), shown.tell):
        trained = run.train(shards)
    shown.done()
    return trained


@task(cache_policy=NO_CACHE)
def evaluate(run: Run, shards: Shards, trained: Trained) -> Scored:
    """Trained generator → metrics, samples, report."""
    scored = run.evaluate(shards, trained)
    show_samples(run, scored)
    return scored


@task(cache_policy=NO_CACHE)
def publish(run: Run, trained: Trained, scored: Scored) -> Published:
    """Trained generator and scores → version, gate, aliases."""
    published = run.publish(trained, scored)
    show_published(run, trained, published)
    return published


def retried(stage: Task[P, R], run: Run) -> Task[P, R]:
    """A stage's task with the further tries that the run's profile allows."""
    retries = Retries.of(run.profile, stage.name, lambda error: run.waits(stage.name, error))

    def again(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
        return isinstance(state.data, BaseException) and retries.again(state.data)

    return stage.with_options(
        retries=len(retries.waits), retry_delay_seconds=list(retries.waits), retry_condition_fn=again)
