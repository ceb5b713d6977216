"""What is known of published versions that are to be compared, and of what they were made from where that is there.

    versions = gather(["digits@champion", "digits@latest"], store)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from pydantic import ValidationError

from gan_core.addresses import aliases_of, resolve
from gan_core.config import Bound
from gan_core.errors import ConfigError
from gan_core.manifest import Manifest, Parent, read_named
from gan_core.published import name_and_version, published_manifest
from gan_core.store import Store
from pipelines.gate import judge, relative_metrics
from pipelines.models import find_artefact, read_verdict
from pipelines.records import RECORDS_READ, RunRecord
from pipelines.report_names import REPORT_JSON

MOST_VERSIONS = 8  # one colour each
CODE_STAGES = ("prepare", "train", "evaluate")
READ = ("config.json", "metrics.json", REPORT_JSON)


@dataclass(frozen=True)
class Version:
    """A published version, and of what it was made from whatever the store still has.

    config: the experiment's settings.  metrics: as in metrics.json.  passed: None where the settings have no gate, and
    where theirs is relative to a champion and what it said is not kept here.
    data: digest of the shards it was measured on; features: of its `domain` network; "" where not known.  tools:
    versions in the process that trained it, or that published it where the run is gone.  lineage: the run, its scores
    and those shards.
    """

    store: Store
    prefix: str
    manifest: Manifest
    label: str
    created: str
    passed: bool | None
    refusals: tuple[str, ...]
    config: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    images: int | None
    data: str
    features: str
    lineage: tuple[Parent, ...]
    tools: Mapping[str, str]

    @property
    def uri(self) -> str:
        """The whole URL of the version."""
        return self.store.uri(self.prefix)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings by dotted name."""
        return dict(dotted(self.config))

    @cached_property
    def aliases(self) -> tuple[str, ...]:
        """Those that stand on it."""
        known = name_and_version(self.prefix)
        return aliases_of(self.store, *known) if known else ()

    @cached_property
    def code(self) -> Mapping[str, Mapping[str, str]]:
        """Stage to module to sha256, where the store has the record of its run."""
        return _code(self.store, self.config["name"], self.manifest.key)

    def parent(self, kind: str) -> Parent | None:
        """The run, scores or shards."""
        return next((parent for parent in self.lineage if parent.kind == kind), None)


def gather(addresses: Sequence[str], store: Store) -> list[Version]:
    """Reads the versions that addresses name.  ConfigError for fewer than two, too many, or one named twice."""
    if not 2 <= len(addresses) <= MOST_VERSIONS:
        raise ConfigError(f"gan compare {' '.join(addresses)}: {len(addresses)} versions; 2 to {MOST_VERSIONS} can be "
                          "put side by side, as in gan compare digits@0001 digits@latest")
    places = [resolve(address, store) for address in addresses]
    _refuse_twins(addresses, [place.uri(prefix) for place, prefix in places])
    labels = [_label(prefix) for _, prefix in places]
    if len(set(labels)) < len(labels):  # of several stores
        labels = [place.uri(prefix) for place, prefix in places]
    return [read_version(place, prefix, label) for (place, prefix), label in zip(places, labels, strict=True)]


def _refuse_twins(addresses: Sequence[str], uris: Sequence[str]) -> None:
    for i, uri in enumerate(uris):
        if uri in uris[:i]:
            raise ConfigError(f"{addresses[uris.index(uri)]} and {addresses[i]} are one version, {uri}; name two that "
                              "differ, `gan models list` prints them")


def _label(prefix: str) -> str:
    known = name_and_version(prefix)
    return "@".join(known) if known else PurePosixPath(prefix).name


def read_version(store: Store, prefix: str, label: str) -> Version:
    """What is known of the published version at `prefix`.  DamagedFile when it is not what its manifest says."""
    manifest = published_manifest(store, prefix)
    there = {file.path for file in manifest.files}
    files = {path: read_named(store, prefix, manifest, path) for path in READ if path in there or path != REPORT_JSON}
    return version_of(store, prefix, label, manifest, files)


def version_of(store: Store, prefix: str, label: str, manifest: Manifest, files: Mapping[str, bytes]) -> Version:
    """The same of a version whose files are at hand, published or not."""
    config, metrics = json.loads(files["config.json"]), json.loads(files["metrics.json"])
    report = json.loads(files[REPORT_JSON]) if REPORT_JSON in files else {}  # older versions have none
    known = name_and_version(prefix)
    passed, refusals = _gate(store, known, config, metrics)
    run, scores = (_made_from(store, manifest.parents, kind) for kind in ("run", "scores"))
    shards = _shards(report, scores, run)
    return Version(
        store=store,
        prefix=prefix,
        manifest=manifest,
        label=label,
        created=manifest.created,
        passed=passed,
        refusals=refusals,
        config=config,
        metrics=metrics,
        images=run.facts.get("position") if run else report.get("images"),
        data=shards.digest if shards else "",
        features=report.get("features", ""),
        lineage=(*((shards,) if shards else ()), *manifest.parents),
        tools=(run or manifest).versions,
    )


def _gate(
    store: Store, known: tuple[str, str] | None, config: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]]
) -> tuple[bool | None, tuple[str, ...]]:
    """What the gate of a version's own settings said of it, or where that is not kept, says of it by itself."""
    gate = {name: Bound.model_validate(bound) for name, bound in config["publish"]["gate"].items()}
    if not gate:
        return None, ()
    verdict = read_verdict(store, *known, gate) if known else None
    if verdict is not None:
        return verdict.passed, verdict.refusals
    refusals = tuple(map(str, judge(metrics, gate)))
    return (None if relative_metrics(gate) and not refusals else not refusals), refusals


def _made_from(store: Store, parents: Sequence[Parent], kind: str) -> Manifest | None:
    found = (find_artefact(store, parent) for parent in parents if parent.kind == kind)
    return next((made[1] for made in found if made), None)


def _shards(report: Mapping[str, Any], scores: Manifest | None, run: Manifest | None) -> Parent | None:
    """Those that it was measured on: the nearest, for what training began from may have had others."""
    told = [Parent(kind=p["kind"], uri=p["at"], digest=p["digest"]) for p in report.get("lineage", ())]
    nearest = (told, scores.parents if scores else (), run.parents if run else ())
    return next((parent for parents in nearest for parent in parents if parent.kind == "shards"), None)


def _code(store: Store, name: str, key: str) -> dict[str, dict[str, str]]:
    """The code of each stage, from the newest record of the run that published under that key."""
    for file in sorted(store.names(f"experiments/{name}"), reverse=True)[:RECORDS_READ]:
        with suppress(ValidationError, FileNotFoundError):
            stages = RunRecord.model_validate_json(store.read(f"experiments/{name}/{file}")).stages
            if "publish" in stages and stages["publish"].key == key:
                return {stage: stages[stage].code for stage in CODE_STAGES if stage in stages}
    return {}


def dotted(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as (dotted name, value); an empty block is a value."""
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from dotted(inner, f"{above}{key}.")
        else:
            yield f"{above}{key}", inner
