"""`gan score`: anomaly scores of images by a published generator, shown as they come, and written as one artefact.

    <out>/scores.parquet    a row for each image
    <out>/heat.png          the most anomalous, the most normal and any: where they differ from what they are rebuilt as
    <out>/MANIFEST.json     how they were scored, the threshold, and figures where labels are known
"""

from __future__ import annotations

import io
import json
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gan_core.addresses import resolve
from gan_core.anomalies import Search
from gan_core.bundle import Generator, read_generator
from gan_core.detecting import Scored, rows_of, scored_of, spread_over
from gan_core.errors import ConfigError, DataError
from gan_core.manifest import Manifest, Parent, artefact, canonical_digest, missing_files, read_manifest, read_named
from gan_core.metrics.detection import detection, threshold_of
from gan_core.metrics.domain import one_thread
from gan_core.published import published_manifest
from gan_core.store import Store
from pipelines.counting import counting
from pipelines.out_folder import place_of
from pipelines.report_anomalies import heat_maps
from pipelines.score_data import HELD_OUT, Looked, looked_at
from pipelines.score_way import ENCODER, SEARCH, way_of
from pipelines.show import console

KIND = "anomalies"
SCORES, HEAT = "scores.parquet", "heat.png"
QUANTILE = 0.95
COLUMNS = pa.schema([
    ("index", pa.int64()), ("file", pa.string()), ("split", pa.string()), ("label", pa.int64()),
    ("known_abnormal", pa.bool_()), ("score", pa.float64()), ("residual", pa.float64()), ("features", pa.float64()),
    ("abnormal", pa.bool_()),
])
"""index: place in the split, or among the files by name.  known_abnormal: by the label.  score, residual, features:
as gan_core.anomalies.Found.  abnormal: whether the score is above the threshold; null without one."""


@dataclass(frozen=True)
class Asked:
    """What `gan score` was asked for, as on its command line; its help says what each is."""

    data: str
    split: str = "test"
    normal: str | None = None
    most: int | None = None
    method: str | None = None
    search: Search = field(default_factory=Search)
    quantile: float | None = None
    threshold: float | None = None
    overrides: tuple[str, ...] = ()

    def check(self) -> None:
        """ConfigError for numbers that cannot work."""
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise ConfigError(f"--quantile {self.quantile:g}: is not between 0 and 1; --quantile {QUANTILE} works")
        if self.quantile is not None and self.threshold is not None:
            raise ConfigError(f"--threshold {self.threshold:g}: --quantile {self.quantile:g} says where it is, too; "
                              "leave one of them out")
        if self.most is not None and self.most < 1:
            raise ConfigError(f"--n {self.most}: there is nothing to score; --n 200 works")


@dataclass(frozen=True)
class Threshold:
    """value: None where there is none.  of: what it was taken from, in words."""

    value: float | None
    quantile: float | None
    of: str


@dataclass(frozen=True)
class Made:
    """Scores that are there.  status: RUN or REUSED."""

    uri: str
    status: str
    seconds: float
    manifest: Manifest

    def as_json(self) -> dict[str, Any]:
        """{"uri", "status", "seconds", and what the manifest's facts say}."""
        return {"uri": self.uri, "status": self.status, "seconds": self.seconds, **self.manifest.facts}

    def say(self) -> None:
        """For a person."""
        out, told = console(), self.manifest.facts
        speed = f"{told['images'] / self.seconds:,.0f} images/s" if self.status == "RUN" and self.seconds else ""
        by = told["method"] + ("" if told["discriminator"] else ", by the residual alone")
        out.print(f"{self.status}  {told['images']:,} images by {told['generator']} ({by})  "
                  f"({self.seconds:.1f} s{', ' if speed else ''}{speed})")
        if told["threshold"] is None:
            out.print(f"threshold  none: {told['threshold_of']}", soft_wrap=True)
        else:
            out.print(f"threshold  {told['threshold']:.4g}, {told['threshold_of']}: {told['above']:,} images above it",
                      soft_wrap=True)
        for name, value in told["metrics"].items():
            span = f" ({value['low']:.4f} to {value['high']:.4f})" if value.get("low") is not None else ""
            out.print(f"{name}  {value['value']:.4f}{span}")
        out.print(f"scores  {self.uri}/{SCORES}", soft_wrap=True)
        out.print(f"pictures  {self.uri}/{HEAT}", soft_wrap=True)


def score_images(address: str, out: str, asked: Asked, store: Store) -> Made:
    """Scores what was asked for; REUSED where the same is there.

    ConfigError for what cannot be asked of the version at `address`, and where `out` holds something else.
    """
    started = time.monotonic()
    asked.check()
    place, prefix = place_of(out, KIND)
    source, version = resolve(address, store)
    generator, bundle = read_generator(source, version), published_manifest(source, version)
    looked = looked_at(asked.data, asked.overrides, asked.split, asked.normal, generator, store)
    parents = (Parent(kind=bundle.kind, uri=source.uri(version), digest=bundle.digest), *looked.parents)
    key = canonical_digest({"version": bundle.digest, "data": looked.digest, "split": looked.split,
                            "normal": sorted(looked.normal or ()), "asked": _settings(asked)})
    there = _finished(place, prefix, key)
    status = "REUSED" if there is not None else "RUN"
    if there is None:
        there = _scored(generator, (source, version, bundle), looked, asked, (place, prefix, key), parents)
    return Made(place.uri(prefix), status, round(time.monotonic() - started, 2), there)


def _settings(asked: Asked) -> dict[str, Any]:
    return {"most": asked.most, "method": asked.method, "search": asked.search.model_dump(),
            "quantile": asked.quantile, "threshold": asked.threshold}


def _finished(store: Store, prefix: str, key: str) -> Manifest | None:
    manifest, where = read_manifest(store, prefix), store.uri(prefix)
    if manifest is not None and (manifest.kind, manifest.key) == (KIND, key):
        return None if missing_files(store, prefix, manifest) else manifest
    if manifest is not None or store.sizes(prefix):
        raise ConfigError(f"--out {where}: holds something else; --out {where}-2 works, or remove what is there")
    return None


def _scored(
    generator: Generator, version: tuple[Store, str, Manifest], looked: Looked, asked: Asked,
    out: tuple[Store, str, str], parents: tuple[Parent, ...],
) -> Manifest:
    how = way_of(generator, version, asked.method, asked.search)
    places = spread_over(len(looked.images), asked.most)
    held_out = looked.held_out if asked.threshold is None else None
    fresh = spread_over(len(held_out), asked.most) if held_out is not None else places[:0]
    abnormal = looked.abnormal if looked.abnormal is None else looked.abnormal[places]
    total = len(places) + len(fresh)
    with counting("scoring", "images") as progress, one_thread():
        scored = scored_of(how.look, looked.images, places, abnormal, lambda done: progress(done, total, 0))
        normal = None if held_out is None else scored_of(
            how.look, held_out, fresh, tell=lambda done: progress(len(places) + done, total, 0)).score
        rows = rows_of(how.look, looked.images, scored, places, asked.search.seed)
    limit = _threshold(asked, normal, how.method, version)
    store, prefix, key = out
    with artefact(store, prefix, kind=KIND, key=key, parents=parents) as draft:
        (draft.path / SCORES).write_bytes(_parquet(looked, scored, places, limit.value))
        (draft.path / HEAT).write_bytes(heat_maps(rows))
        draft.facts.update(
            generator=generator.uri, data=asked.data, split=looked.split, images=len(places), method=how.method,
            search=asked.search.model_dump() if how.method == SEARCH else None, discriminator=how.discriminator,
            without_discriminator=how.why, threshold=limit.value, quantile=limit.quantile, threshold_of=limit.of,
            above=None if limit.value is None else int((scored.score > limit.value).sum()),
            metrics=_metrics(scored, limit.value, asked.search.seed),
        )
    found = read_manifest(store, prefix)
    assert found is not None, "it was just written"
    return found


def _threshold(
    asked: Asked, normal: Any, method: str, version: tuple[Store, str, Manifest]
) -> Threshold:
    """As asked; else of normal validation images; else the version's own, which is by its encoder."""
    if asked.threshold is not None:
        return Threshold(asked.threshold, None, "as asked for")
    quantile = QUANTILE if asked.quantile is None else asked.quantile
    if normal is not None:
        return Threshold(threshold_of(normal, quantile), quantile,
                         f"the {quantile:g} quantile of {len(normal):,} normal images of the {HELD_OUT} split")
    if asked.quantile is not None:
        raise DataError(f"--quantile {asked.quantile:g}: {asked.data} has no {HELD_OUT} images that are known to be "
                        "normal; --threshold 0.1 works, or --normal CLASS with a prepared set")
    store, prefix, bundle = version
    own = None
    if method == ENCODER and bundle.file("metrics.json") is not None:
        own = json.loads(read_named(store, prefix, bundle, "metrics.json")).get("anomaly_threshold")
    if own is None:
        return Threshold(None, None, f"there are no {HELD_OUT} images that are known to be normal")
    told = json.loads(read_named(store, prefix, bundle, "config.json"))["evaluate"]["anomaly_quantile"]
    return Threshold(own["value"], told, f"the version's own, the {told:g} quantile of {own['n_real']:,} normal images")


def _metrics(scored: Scored, threshold: float | None, seed: int) -> dict[str, Any]:
    """As gan_core.config.ANOMALY_METRICS, where it is known what is abnormal and both kinds are there."""
    abnormal = scored.abnormal
    if abnormal is None or abnormal.all() or not abnormal.any():
        return {}
    figures = detection(scored.score[abnormal], scored.score[~abnormal], threshold, seed)
    return {name: {field: value for field, value in figure.fields().items() if value is not None}
            for name, figure in figures.items() if name != "anomaly_threshold"}


def _parquet(looked: Looked, scored: Scored, places: Any, threshold: float | None) -> bytes:
    n = len(places)
    nothing: list[Any] = [None] * n
    labels = looked.images.labels
    columns = {
        "index": places, "file": [looked.names[place] for place in places] if looked.names else nothing,
        "split": [looked.split or None] * n, "label": nothing if labels is None else np.asarray(labels)[places],
        "known_abnormal": nothing if scored.abnormal is None else scored.abnormal,
        "score": scored.score, "residual": scored.residual,
        "features": nothing if scored.features is None else scored.features,
        "abnormal": nothing if threshold is None else scored.score > threshold,
    }
    table = pa.Table.from_pydict({name: pa.array(values, COLUMNS.field(name).type) for name, values in columns.items()},
                                 schema=COLUMNS)
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()
