"""The Prefect flow: the DAG, and what Prefect is shown of it.

Stages are plain functions; this is the one place where they become tasks.  Prefect's result cache stays off: a stage is
done when its files are there.  Nothing is retried here that a person would have to put right.
"""

from __future__ import annotations

import json
from typing import Any, cast
from uuid import UUID

from prefect import flow, task
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.cache_policies import NO_CACHE

from gan_core.store import Store
from pipelines.execute import Run
from pipelines.follow import Follower, Progress
from pipelines.handles import Published, Scored, Shards, Trained


@flow(name="gan-pipelines", flow_run_name="{experiment[name]}", validate_parameters=False)
def pipeline(
    experiment: dict[str, Any], store: str, profile: dict[str, Any], remake: tuple[str, ...] = (), record: str = ""
) -> Published:
    """From a data set to a published generator.  record: where the run is recorded; a new place when empty."""
    return stages(Run.of(experiment, store, profile, remake, record))


def stages(run: Run) -> Published:
    """The DAG, within whatever flow calls it."""
    shards = prepare(run)
    trained = train(run, shards)
    scored = evaluate(run, shards, trained)
    return publish(run, trained, scored)


@task(cache_policy=NO_CACHE)
def prepare(run: Run) -> Shards:
    """Source → shards."""
    return run.prepare()


@task(cache_policy=NO_CACHE)
def train(run: Run, shards: Shards) -> Trained:
    """Shards → trained generator."""
    images = run.experiment.train.images
    progress = cast(UUID, create_progress_artifact(
        0.0, key="training", description=f"{run.experiment.name}: images seen"
    ))

    def tell(seen: Progress) -> None:
        update_progress_artifact(progress, min(100.0, 100 * seen.position / images))

    with Follower(run.store, lambda: run.prefixes.get("train", ""), tell):
        trained = run.train(shards)
    update_progress_artifact(progress, 100.0)
    return trained


@task(cache_policy=NO_CACHE)
def evaluate(run: Run, shards: Shards, trained: Trained) -> Scored:
    """Trained generator → metrics, samples, report."""
    scored = run.evaluate(shards, trained)
    metrics = json.loads(run.store.read(f"{scored.prefix}/metrics.json"))
    create_table_artifact([{"metric": name, **measured} for name, measured in metrics.items()], key="metrics",
                          description=f"{run.experiment.name}: {scored.uri}")
    return scored


@task(cache_policy=NO_CACHE)
def publish(run: Run, trained: Trained, scored: Scored) -> Published:
    """Trained generator and scores → version, gate, aliases."""
    published = run.publish(trained, scored)
    create_markdown_artifact(_summary(run.store, published), key="published")
    return published


def _summary(store: Store, published: Published) -> str:
    stands = "champion" if published.promoted else "not promoted"
    lines = [f"**{published.uri}** is whole and `latest`; {stands}.", ""]
    lines += [f"- refused by the gate: {refusal}" for refusal in published.refusals]
    lines += [f"- `{published.uri}/{file}`" for file in ("report.html", "samples.png", "README.md")]
    return "\n".join([*lines, f"- store: `{store.url}`"])
