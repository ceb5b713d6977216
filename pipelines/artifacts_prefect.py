"""What Prefect shows of a run, under keys that stay: its pages have the history of each experiment.

    <experiment>-training    how far training is
    <experiment>-samples     the sample grid
    <experiment>-metrics     the headline numbers, beside the champion's
    <experiment>-version     where the version, its report and the curves are

What cannot be shown is a line in the flow run's log, and never ends a stage whose work is done.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from functools import wraps
from io import BytesIO
from typing import Any, ParamSpec, cast
from uuid import UUID

from PIL import Image
from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.logging import get_run_logger

from gan_core.addresses import CHAMPION, alias_moves
from gan_core.outages import reason
from gan_core.pictures import png
from gan_core.published import version_prefix
from gan_core.store import Store
from pipelines.champion import UNREADABLE
from pipelines.compare import differences, terms
from pipelines.compared_version import Version, read_version
from pipelines.execute import Run
from pipelines.follow import Progress
from pipelines.handles import Published, Scored, Trained
from pipelines.models import Standard, read_verdict
from pipelines.promote import standing

PNG_BYTES = 225_000  # some 300 KB as text in Prefect's database, and its pages show as much without delay
P = ParamSpec("P")


def never_fails(show: Callable[P, None]) -> Callable[P, None]:
    """The same, with a line in the flow run's log where it cannot be shown."""

    @wraps(show)
    def shown(*given: P.args, **named: P.kwargs) -> None:
        try:
            show(*given, **named)
        except Exception as error:  # of Prefect's server, of the store, of whatever makes a picture
            get_run_logger().warning("%s: cannot be shown: %s", show.__name__, reason(error))

    return shown


def key(run: Run, what: str) -> str:
    """An artifact's key: Prefect takes small letters, digits and dashes."""
    return f"{run.experiment.name.replace('_', '-')}-{what}"


class Training:
    """A bar that follows the images seen."""

    def __init__(self, run: Run) -> None:
        self._images = run.experiment.train.images
        self._bar: UUID | None = None
        self._begin(run)

    def tell(self, seen: Progress) -> None:
        """How far it is.  Raises what Prefect's client does: whoever follows a run looks again."""
        self._at(min(100.0, 100 * seen.position / self._images))

    @never_fails
    def done(self) -> None:
        """All of it."""
        self._at(100.0)

    @never_fails
    def _begin(self, run: Run) -> None:
        name = run.experiment.name
        bar = create_progress_artifact(0.0, key=key(run, "training"), description=f"{name}: images seen")
        self._bar = cast(UUID, bar)

    def _at(self, percent: float) -> None:
        if self._bar is not None:
            update_progress_artifact(self._bar, percent)


@never_fails
def show_samples(run: Run, scored: Scored) -> None:
    """The sample grid, where this run made it."""
    if run.reused("evaluate"):
        return
    picture = fitting(run.store.read(f"{scored.prefix}/samples.png"))
    create_image_artifact(f"data:image/png;base64,{base64.b64encode(picture).decode()}", key=key(run, "samples"),
                          description=f"{run.experiment.name}: {scored.uri}/samples.png")


def fitting(data: bytes, most: int = PNG_BYTES) -> bytes:
    """A PNG of no more than `most` bytes: the same, or halved in both directions until it is."""
    while len(data) > most:
        data = png(Image.open(BytesIO(data)).reduce(2))
    return data


@never_fails
def show_published(run: Run, trained: Trained, published: Published) -> None:
    """The version's headline numbers, and where to look further."""
    new = read_version(run.store, version_prefix(run.experiment.name, published.version), published.version)
    create_table_artifact(list(headline(run, new)), key=key(run, "metrics"),
                          description=f"{run.experiment.name}: {published.uri}")
    create_markdown_artifact(summary(run.store, run.experiment.name, trained, published), key=key(run, "version"))


def headline(run: Run, new: Version) -> Iterator[dict[str, Any]]:
    """A row for each metric: its value, on what it was measured, and the champion's where that is on the same terms."""
    name, store = run.experiment.name, run.store
    verdict = read_verdict(store, name, new.label, run.experiment.publish.gate)
    others = [version for version in standing(alias_moves(store, name, CHAMPION)) if version != new.label]
    champion = _read(store, name, others[-1]) if others else None
    for metric, measured in new.metrics.items():
        yield {"metric": metric, "value": measured["value"], "network": measured["network"], "n": measured["n_fake"],
               "champion": _its(metric, new, champion, verdict.champion if verdict else None)}


def _read(store: Store, name: str, version: str) -> Version | None:
    try:
        return read_version(store, version_prefix(name, version), version)
    except UNREADABLE:
        return None


def _its(metric: str, new: Version, champion: Version | None, judged: Standard | None) -> str:
    """The champion's value in words; why there is none."""
    if judged is not None and metric in judged.values:
        anew = ", measured anew" if metric in judged.anew else ""
        return f"{judged.values[metric]:.6g} ({judged.version}{anew})"
    if champion is None or metric not in champion.metrics:
        return "—"
    if other := next(differences(terms(metric, new), metric, champion), None):
        return f"— ({champion.label}: {other.from_other})"
    return f"{champion.metrics[metric]['value']:.6g} ({champion.label})"


def summary(store: Store, name: str, trained: Trained, published: Published) -> str:
    """Markdown: how the version stands, where its files are, and the commands that show more."""
    stands = "champion" if published.promoted else "not promoted"
    curves = f"{trained.prefix}/tensorboard"
    logs = store.local_path(curves) if store.is_local else store.uri(curves)
    lines = [f"**{published.uri}** is whole and `latest`; {stands}.", ""]
    lines += [f"- refused by the gate: {refusal}" for refusal in published.refusals]
    lines += [f"- `{published.uri}/{file}`" for file in ("report.html", "samples.png", "README.md")]
    lines += [f"- `gan models show {name}@{published.version} --store {store.url}`",
              f"- the curves: `tensorboard --logdir {logs}`"]
    return "\n".join(lines)
