"""A search as a Prefect flow, where a server is there to show it: its tasks, and the leaderboard as an artifact.

    <experiment>-leaderboard    the best trials
    <experiment>-search         where the best settings and the report are
"""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext, TagsContext

from pipelines.artifacts_prefect import key, never_fails
from pipelines.execute import Run
from pipelines.flow import prepare, retried
from pipelines.handles import Shards, Tuned
from pipelines.tuning.leaderboard import Row, leaderboard
from pipelines.tuning.records import read_search
from pipelines.tuning.results import BEST, REPORT

SHOWN = 20


@flow(name="gan-pipelines-tune", flow_run_name="{experiment[name]}", validate_parameters=False)
def search(
    experiment: dict[str, Any], store: str, profile: dict[str, Any], remake: tuple[str, ...], record: str
) -> Tuned:
    """From a data set to the best settings that were found.  record: where the run is recorded."""
    run, context = Run.of(experiment, store, profile, remake, record), FlowRunContext.get()
    if context is not None and context.flow_run is not None:
        run.is_flow_run(str(context.flow_run.id))
    with TagsContext(current_tags=set()):
        shards = retried(prepare, run)(run)
        return retried(tune, run)(run, shards)


@task(cache_policy=NO_CACHE)
def tune(run: Run, shards: Shards) -> Tuned:
    """Shards → the best settings."""
    tuned = run.tune(shards)
    show_search(run, tuned)
    return tuned


@never_fails
def show_search(run: Run, tuned: Tuned) -> None:
    """The best trials, and where to look further."""
    found = read_search(run.store, tuned.prefix)
    assert found is not None
    rows = leaderboard(found)
    create_table_artifact([_line(row) for row in rows[:SHOWN]], key=key(run, "leaderboard"),
                          description=f"{run.experiment.name}: {len(rows)} trials, the best first")
    create_markdown_artifact(
        f"- best settings: `{tuned.uri}/{BEST}`\n- report: `{tuned.uri}/{REPORT}`\n", key=key(run, "search"))


def _line(row: Row) -> dict[str, Any]:
    return {"rank": row.rank, "trial": row.number, "value": row.value, "mean": row.mean, "spread": row.spread,
            "images": row.images, "status": row.status, **row.params}
