"""Evaluate: a trained generator becomes metrics, a sample grid and a report."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.asked import image_of
from gan_core.bundle import Generator, read_generator
from gan_core.config import EvaluateConfig, Experiment
from gan_core.data.normal import normal_of
from gan_core.data.shards import RemoteSplit, open_shards
from gan_core.data.shards import Shards as Data
from gan_core.detecting import detected
from gan_core.manifest import Manifest, Parent, artefact, read_manifest, read_named, tool_versions
from gan_core.metrics.domain import DomainNetwork
from gan_core.metrics.evaluate import Measured, measured_by, requested_attributes, requested_labels
from gan_core.metrics.evidence import Evidence, Images, compared_count, real_images, refuse_others
from gan_core.metrics.judge import WEIGHTS_FILE, Judge, judge_of
from gan_core.metrics.pairs import measure_pairs
from gan_core.metrics.translation import A, B, domain_of, measure_translation
from gan_core.modalities.kinds import modality_of
from gan_core.options.evaluation import OF_DISCRIMINATORS
from gan_core.pictures import grid, png
from gan_core.store import Store
from pipelines.commit import commit
from pipelines.features import features_of, read_features
from pipelines.handles import Shards, Trained
from pipelines.looks import Looking, Place, in_turn, networks_of
from pipelines.model_card import mixed_of
from pipelines.parts import Made
from pipelines.report import MOST_GRIDS, Report, spread, write_report
from pipelines.report_anomalies import anomalies
from pipelines.report_json import report_json
from pipelines.report_names import REPORT_JSON
from pipelines.report_parts import Compared, parts_of
from pipelines.translations import both_ways, given_images, translated_rows

PER_CLASS = 10  # samples of each class in the grid: one row a class
MOST_ROWS = 20
UNLABELLED = 100
MOST_TRANSLATED = 400  # for the maps and neighbours of the report


def evaluate(
    store: Store, experiment: Experiment, shards: Shards, trained: Trained, *, key: str, prefix: str, features: str,
    place: Place = in_turn,
) -> None:
    """Writes metrics.json, samples.png, real.png, report.html and report.json under `prefix`.

    features: the key of the data set's feature network, which is made here when the store has none.  place: where
    images are made and seen; the figures are the same wherever that is.
    DamagedFile names a shard or weight file that is not what its manifest says.
    """
    data = open_shards(store, shards.prefix).of(experiment.target)
    made = features_of(store, shards, features, experiment.evaluate.seed, data)
    domain, network = read_features(store, made.prefix), made.digest
    generator = read_generator(store, trained.prefix)
    looking = Looking(store, shards, normal_of(data), experiment.evaluate, made, place)
    scores, compared = _scores(generator, trained.prefix, looking, domain, _judge(store, experiment, trained, data))
    found, data = detected(generator, data, experiment.evaluate), looking.data
    if found is not None:
        scores |= found.measured(experiment.evaluate)
    parents = (shards.parent(), trained.parent())
    with artefact(store, prefix, kind="scores", key=key, parents=parents) as draft:
        metrics = {name: measured.model_dump(exclude_none=True) for name, measured in scores.items()}
        (draft.path / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
        samples = _samples(generator, data, experiment.evaluate)
        real = _real(data, experiment.evaluate.split, generator.classes)
        (draft.path / "samples.png").write_bytes(samples)
        (draft.path / "real.png").write_bytes(real)
        report = _report(store, experiment, trained, scores, samples, real, parents)
        report = replace(report, features=network, made=_made(store, shards, trained, key),
                         parts=parts_of(generator, data, experiment, compared, shards.digest))
        if found is not None:
            report = replace(report, parts=replace(report.parts, anomalies=anomalies(found)))
        if generator.translates:
            report = replace(report, notes=[*report.notes, _translations(generator, data, experiment.evaluate)[1]])
        write_report(draft.path / "report.html", report)
        (draft.path / REPORT_JSON).write_text(report_json(report, metrics), encoding="utf-8")
        draft.facts.update(domain_accuracy=domain.facts.accuracy)


def _scores(
    generator: Generator, run: str, looking: Looking, domain: DomainNetwork, judge: Judge | None
) -> tuple[dict[str, Measured], Compared]:
    """What is asked of the generator is what the split's real examples are: their classes, attributes, or themselves.
    """
    data, config = looking.data, looking.config
    if generator.translates and not generator.given:
        config.refuse_for_translations()

        def translate(images: Images, label: int) -> Images:
            asked = {"images": images, **({"label": label} if both_ways(generator) else {})}
            return looking.made(generator, run, asked, len(images)).images

        scores = measure_translation(data, translate, config, domain, both_ways(generator))
        a, b = (domain_of(data.split(config.split), label, MOST_TRANSLATED).images for label in (A, B))
        made = translate(a, B)
        return scores, Compared(made, domain.features(b), domain.features(made), _of_training(looking))
    evidence = replace(_evidence(generator, run, looking, domain), judge=judge)
    real, fake = evidence.features("domain")
    asked = evidence.requested
    read = domain.probabilities(evidence.generated).argmax(axis=1) if asked is not None else None
    measured = measured_by(evidence)
    if generator.given:
        measured |= measure_pairs(_levels_given(generator, data, config), evidence.generated, evidence.real, config)
    return measured, Compared(evidence.generated, real, fake, _of_training(looking), asked, asked, read, evidence.real)


def measured_of(generator: Generator, at: str, looking: Looking, domain: DomainNetwork) -> dict[str, Measured]:
    """The metrics alone, of any generator that can be asked for what these shards hold.  at: its prefix in the store.

    Without those of its discriminator, which a bundle need not have.  Errors as of `evaluate`.
    """
    also = tuple(name for name in looking.config.also if name not in OF_DISCRIMINATORS)
    told = replace(looking, config=looking.config.model_copy(update={"also": also}))
    found = detected(generator, looking.data, told.config)
    scores, _ = _scores(generator, at, replace(told, data=normal_of(told.data)), domain, None)
    return scores | ({} if found is None else found.measured(told.config))


def _of_training(looking: Looking) -> NDArray[np.float32] | None:
    """The train split's `domain` features; None of a set that is larger than the cache."""
    train = looking.data.split("train")
    return None if isinstance(train, RemoteSplit) else looking.real("train", len(train))("domain")


def _judge(store: Store, experiment: Experiment, trained: Trained, data: Data) -> Judge | None:
    """The run's discriminator, where something is asked for that is measured of it."""
    if not {*OF_DISCRIMINATORS} & {*experiment.evaluate.also}:
        return None
    run = read_manifest(store, trained.prefix)
    assert run is not None, "a handle is made from a manifest"
    return judge_of(experiment, data, read_named(store, trained.prefix, run, WEIGHTS_FILE))


def _levels_given(generator: Generator, data: Data, config: EvaluateConfig) -> Images | None:
    """The images of the pairs that are compared; None where their pixels are class indices."""
    image = image_of(generator.spec)
    if image is None or image[1].indices:
        return None
    return given_images(generator, data.split(config.split), np.arange(compared_count(data, config)))


def _evidence(generator: Generator, run: str, looking: Looking, domain: DomainNetwork) -> Evidence:
    data, config = looking.data, looking.config
    labels = requested_labels(data, config) if generator.classes else None
    attributes = _attributes(generator, data, config) if generator.attributes else None
    asked: dict[str, Any] = {"label": labels, "attributes": attributes}
    real = real_images(data, config)
    if generator.given:  # what is made is to be of the class of what was given
        labels = requested_labels(data, config)
        asked = {"images": given_images(generator, data.split(config.split), np.arange(len(real)))}
    made = looking.made(generator, run, asked, len(real), networks_of(config))
    refuse_others(made.images, real.shape)
    return Evidence(data, config, domain, real, made.images, labels, looking.real(config.split, len(real)), made.see,
                    looking.real("train", len(data.split("train"))))


def _attributes(generator: Generator, data: Data, config: EvaluateConfig) -> NDArray[np.float32]:
    """Those of the real examples, where they are beyond what was trained on brought to its ends."""
    asked = requested_attributes(data, config, [attribute.name for attribute in generator.attributes])
    low, high = zip(*(attribute.ends for attribute in generator.attributes), strict=True)
    return np.clip(asked, np.asarray(low, np.float32), np.asarray(high, np.float32))


def _samples(generator: Generator, data: Data, config: EvaluateConfig) -> bytes:
    """PNG of generated images: a row for each class, or a square where there are none."""
    if generator.translates:
        return _grid(_translations(generator, data, config)[0])
    if generator.attributes:
        asked = _attributes(generator, data, config)[:UNLABELLED]
        return _grid(_views(generator, generator.sample(len(asked), seed=config.seed, attributes=asked)))
    rows = min(generator.classes, MOST_ROWS)
    labels = np.repeat(np.arange(rows), PER_CLASS) if rows else None
    return _grid(_views(generator, generator.sample(rows * PER_CLASS or UNLABELLED, seed=config.seed, label=labels)))


def _views(generator: Generator, examples: Images) -> Images:
    return generator.spec.modality.views(examples)


def _translations(generator: Generator, data: Data, config: EvaluateConfig) -> tuple[Images, str]:
    return translated_rows(generator, data, data.split(config.split))


def _real(data: Data, split: str, classes: int) -> bytes:
    """PNG of real images, laid out as `_samples` does."""
    views, images, labels = modality_of(data.form).views, data.split(split).images, data.split(split).labels
    if not classes or labels is None:
        return _grid(views(images[:UNLABELLED]))
    rows = [_padded(views(images[labels == label][:PER_CLASS])) for label in range(min(classes, MOST_ROWS))]
    return _grid(np.concatenate(rows))


def _padded(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A whole row: what a rare class lacks is left white."""
    missing = PER_CLASS - len(images)
    return np.concatenate([images, np.full((missing, *images.shape[1:]), 255, np.uint8)])


def _grid(images: NDArray[np.uint8]) -> bytes:
    return png(grid(images, PER_CLASS))


def _report(
    store: Store,
    experiment: Experiment,
    trained: Trained,
    scores: dict[str, Measured],
    samples: bytes,
    real: bytes,
    parents: tuple[Parent, ...],
) -> Report:
    run = read_manifest(store, trained.prefix)
    assert run is not None, "a handle is made from a manifest"
    return Report(
        title=experiment.name,
        experiment=experiment.as_json(),
        metrics=scores,
        gate={name: bound.model_dump(exclude_none=True) for name, bound in experiment.publish.gate.items()},
        curves=_curves(store, trained.prefix, run),
        samples_png=samples,
        real_png=real,
        lineage=[(parent.kind, parent.uri.removeprefix(f"{store.url}/"), parent.digest) for parent in parents],
        versions=tool_versions() | ({"commit": found} if (found := commit()) else {}),
        notes=notes_of(run.facts),
        grids=grids_over_time(store, trained.prefix),
        images=run.facts.get("position"),
    )


def _made(store: Store, shards: Shards, trained: Trained, key: str) -> dict[str, Made]:
    """How shards, run and scores came to be.  The scores have no time: made again they are to be the same bytes."""
    found = {"scores": Made(key)}
    for handle in (shards, trained):
        manifest = read_manifest(store, handle.prefix)
        assert manifest is not None, "a handle is made from a manifest"
        found[handle.KIND] = Made(manifest.key, manifest.created)
    return found


def notes_of(facts: Mapping[str, Any]) -> list[str]:
    """What a reader of the curves should know of how a run with these facts went."""
    notes = []
    if facts.get("mixture"):
        notes.append(f"A mixture: each image is made by one of {mixed_of(facts['mixture'])}.")
    if facts.get("ended"):
        notes.append(f"A rule of the experiment ended training after {facts['position']:,} images: {facts['ended']}.")
    for back in facts.get("rollbacks") or ():
        notes.append(f"After {back['at']:,} images training went back to {back['to']:,}, and on with learning rates "
                     f"times {back['learning_rates']:g}: {back['why']}.")
    if (fd := facts.get("fd")) and fd["split"] != "validation":
        notes.append(f"There is no validation split: fd_domain in the curves compares {fd['n_fake']:,} samples with "
                     f"examples of the {fd['split']} split.")
    for slow in facts.get("slow_workers") or ():
        notes.append(f"Worker {slow['rank']} on {slow['host']} took up to {slow['times']:g} x as long for a step as "
                     f"the others, for {slow['seconds']:,} s in all: training waited for it.")
    if facts.get("best"):
        notes.append(f"The weights are those of the best checkpoint, after {facts['weights_of']:,} images.")
    return notes


def grids_over_time(store: Store, prefix: str) -> list[tuple[int, bytes]]:
    """Samples of the same noise at positions spread over the run: beside the run, not part of it, and perhaps gone."""
    grids = []
    names = [name for name in store.names(f"{prefix}/samples") if re.fullmatch(r"\d+\.png", name)]
    for name in spread(names, MOST_GRIDS):
        with contextlib.suppress(FileNotFoundError):
            grids.append((int(name.removesuffix(".png")), store.read(f"{prefix}/samples/{name}")))
    return grids


def _curves(store: Store, prefix: str, run: Manifest) -> list[dict[str, float]]:
    return [json.loads(line) for line in read_named(store, prefix, run, "metrics.jsonl").splitlines()]
