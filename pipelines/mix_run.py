"""`gan models mix`: several published versions as one, measured and published like any other.

    runs/<key>/      the mixture's networks, each part's weights as they were published
    scores/<key>/    its metrics and report
    models/<name>/versions/<NNNN>/    whole by itself: the parts may go

The samples are those of `gan_core.mixture.Mixture`.  A second call finds all of it done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gan_core.addresses import CHAMPION, current_alias
from gan_core.config import Experiment, experiment_from
from gan_core.errors import ConfigError
from gan_core.manifest import Manifest, Parent, artefact, missing_files, read_manifest, read_named
from gan_core.store import Store
from pipelines.champion import standard
from pipelines.compare import HIGHER, LOWER, Metric, compare
from pipelines.compare_words import refusal
from pipelines.compared_version import Version, gather
from pipelines.handles import Published, Shards, Trained
from pipelines.keys import FOLDERS, PREFIX_CHARS, features_key, stage_key
from pipelines.models import find_artefact
from pipelines.plan import Action, Planner, Step
from pipelines.stages.publish import publish

if TYPE_CHECKING:
    from gan_core.bundle import Generator

MIXTURE = "mixture"


@dataclass(frozen=True)
class Mixed:
    """A published mixture.  parts: each version's label and share.  metrics: by name, as metrics.json has them."""

    published: Published
    parts: tuple[tuple[str, float], ...]
    metrics: Mapping[str, Mapping[str, Any]]
    champion: bool

    def as_json(self) -> dict[str, Any]:
        """{"uri", "version", "champion", "refusals", "parts": {version: share}, "metrics"}."""
        return {"uri": self.published.uri, "version": self.published.version, "champion": self.champion,
                "refusals": list(self.published.refusals), "parts": dict(self.parts), "metrics": self.metrics}


def mix(store: Store, name: str, addresses: Sequence[str], weights: Sequence[float] | None, by: str | None) -> Mixed:
    """Publishes the mixture of these versions as the next version of `name`, with the first one's settings.

    weights: how much of each, in any measure; by: a metric of all of them that says it instead.  ConfigError for
    versions that cannot be mixed or were measured otherwise, and where the data of the first are not in this store.
    """
    from gan_core.bundle import read_generator

    if weights is not None and by is not None:
        raise ConfigError(f"--weights and --by {by} both say how much of each; leave one out")
    versions = gather(addresses, store)
    generators = [read_generator(version.store, version.prefix) for version in versions]
    experiment = experiment_from({**versions[0].config, "name": name}, where=versions[0].label)
    shards = _shards(store, versions[0])
    trained = _united(store, versions, generators, shares_by(versions, by) if by else weights)
    metrics, published = _published(store, experiment, shards, trained)
    champion = current_alias(store, name, CHAMPION)
    made = read_manifest(store, trained.prefix)
    assert made is not None, "a handle is made from a manifest"
    return Mixed(published, tuple(made.facts[MIXTURE].items()), metrics,
                 champion is not None and champion.version == published.version)


def shares_by(versions: Sequence[Version], by: str) -> list[float]:
    """As much of each as it is better: a metric's value where higher is better, and one over it where lower is.

    ConfigError where the numbers cannot be compared, say nothing of better, or are not above 0.
    """
    comparison = compare(versions, [by])
    (metric,) = comparison.metrics
    if not metric.compared:
        raise ConfigError(f"--by {by}: {refusal(comparison)}")
    if metric.better not in (HIGHER, LOWER):
        raise ConfigError(f"--by {by}: neither high nor low values of it are better; --by fd_domain works")
    values = [_value(metric, place, version) for place, version in enumerate(versions)]
    return values if metric.better == HIGHER else [1 / value for value in values]


def _value(metric: Metric, place: int, version: Version) -> float:
    value = metric.cells[place].value
    if value is None or not value > 0:
        raise ConfigError(f"--by {metric.name}: {version.label} has {value}, of which no share can be made; "
                          "--weights 0.7,0.3 works")
    return value


def _shards(store: Store, version: Version) -> Shards:
    """The prepared set that the version was measured on, for the mixture to be measured on it too."""
    parent = version.parent("shards")
    found = find_artefact(store, parent) if parent else None
    if found is None or missing_files(store, *found):
        raise ConfigError(f"{version.label}: the prepared data that it was measured on are not in {store.url}, and a "
                          "mixture is measured before it is published; `gan dataset prepare` makes them again")
    return Shards(store.uri(found[0]), found[0], found[1].digest)


def _united(
    store: Store, versions: Sequence[Version], generators: Sequence[Generator], weights: Sequence[float] | None
) -> Trained:
    """The mixture as a finished run, from the store or made now."""
    from gan_core.mixture import united

    spec = united(generators, weights)
    shares = {version.label: share for version, share in zip(versions, spec.inputs["part"].shares, strict=True)}
    parents = tuple(Parent(kind=version.manifest.kind, uri=version.uri, digest=version.manifest.digest)
                    for version in versions)
    key = stage_key(MIXTURE, {"shares": list(shares.values())},
                    {str(place): parent.digest for place, parent in enumerate(parents)}, {})
    prefix = f"{FOLDERS['train']}/{key[:PREFIX_CHARS]}"
    manifest = read_manifest(store, prefix)
    if manifest is None or missing_files(store, prefix, manifest):
        weights_of = _weights(versions)
        with artefact(store, prefix, kind=Trained.KIND, key=key, parents=parents) as draft:
            (draft.path / "generator.json").write_text(spec.model_dump_json(indent=1) + "\n")
            for file, above in (("generator.safetensors", ""), ("networks.safetensors", "generator.")):
                (draft.path / file).write_bytes(_saved(weights_of, above))
            (draft.path / "metrics.jsonl").write_bytes(b"")  # nothing was trained
            draft.facts[MIXTURE] = shares
        manifest = read_manifest(store, prefix)
    assert manifest is not None, "it was written just now"
    return Trained(store.uri(prefix), prefix, manifest.digest)


def _weights(versions: Sequence[Version]) -> dict[str, Any]:
    """Every part's tensors as they were published, by the mixture's names."""
    import safetensors.torch

    return {f"parts.{place}.{name}": tensor for place, version in enumerate(versions) for name, tensor in
            safetensors.torch.load(read_named(version.store, version.prefix, version.manifest, "generator.safetensors")
                                   ).items()}


def _saved(weights: Mapping[str, Any], above: str) -> bytes:
    import safetensors.torch

    return safetensors.torch.save({f"{above}{name}": tensor for name, tensor in weights.items()})


def _published(
    store: Store, experiment: Experiment, shards: Shards, trained: Trained
) -> tuple[dict[str, dict[str, Any]], Published]:
    """The mixture's metrics, and its version: what is missing of both is made."""
    from pipelines.champion_scores import scored_anew
    from pipelines.stages.evaluate import evaluate

    data = read_manifest(store, shards.prefix)
    features = features_key(data, experiment.evaluate.seed)
    planner, known = Planner(store, experiment), {"prepare": shards.digest, "train": trained.digest}
    step = planner.step("evaluate", known)
    if step.action is not Action.REUSE:
        evaluate(store, experiment, shards, trained, key=step.key, prefix=step.prefix, features=features)
    scores = _manifest(store, step)

    def score(champion: str) -> Mapping[str, Mapping[str, Any]]:
        return scored_anew(store, experiment, shards, features, champion)

    published = publish(
        store, experiment, key=planner.step("publish", {**known, "evaluate": scores.digest}).key,
        run_prefix=trained.prefix, scores_prefix=step.prefix,
        parents=(trained.parent(), Parent(kind="scores", uri=store.uri(step.prefix), digest=scores.digest)),
        beside=lambda champion, version, metrics: standard(store, experiment.name, champion, version, metrics, score),
    )
    return json.loads(read_named(store, step.prefix, scores, "metrics.json")), published


def _manifest(store: Store, step: Step) -> Manifest:
    manifest = read_manifest(store, step.prefix)
    assert manifest is not None, "it was evaluated just now"
    return manifest
