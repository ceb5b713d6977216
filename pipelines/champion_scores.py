"""A published generator measured anew, on the data and by the settings of another experiment.

    references/<key>/    metrics.json: measured once for a generator, a data set, a feature network and settings
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from gan_core.bundle import Generator, read_generator
from gan_core.config import Experiment
from gan_core.data.shards import Shards as Data
from gan_core.data.shards import open_shards
from gan_core.errors import ConfigError, DamagedFile, Diverged
from gan_core.manifest import Manifest, Parent, artefact, missing_files, read_manifest, read_named
from gan_core.store import Store
from pipelines.champion import CannotScore
from pipelines.features import features_of, read_features
from pipelines.handles import Features, Shards
from pipelines.keys import FEATURES, PREFIX_CHARS, REFERENCES, code, settings, stage_key
from pipelines.looks import Looking, Place, in_turn
from pipelines.stages.evaluate import measured_of

REFERENCE = "reference"
METRICS = "metrics.json"

Metrics = Mapping[str, Mapping[str, Any]]


def scored_anew(
    store: Store, experiment: Experiment, shards: Shards, features: str, champion: str, place: Place = in_turn
) -> Metrics:
    """The metrics of the version at a prefix, as `evaluate` would write them of a run of this experiment.

    features: the key of the data set's feature network.  place: as of `evaluate`.  CannotScore where the generator
    cannot be read, or does not make what these shards hold.
    """
    manifest = read_manifest(store, champion)
    if manifest is None:
        raise CannotScore("is not whole any more")
    network = features_of(store, shards, features, experiment.evaluate.seed)
    key = stage_key(REFERENCE, settings(experiment, "evaluate"), _inputs(manifest, shards, network),
                    code(experiment, "evaluate"))
    prefix = f"{REFERENCES}/{key[:PREFIX_CHARS]}"
    with suppress(DamagedFile):  # what is damaged is made again: it is all computed
        if (kept := _kept(store, prefix)) is not None:
            return kept
    metrics = _measured(store, experiment, shards, network, champion, place)
    parents = (Parent(kind=manifest.kind, uri=store.uri(champion), digest=manifest.digest), shards.parent())
    with artefact(store, prefix, kind=REFERENCE, key=key, parents=parents) as draft:
        (draft.path / METRICS).write_text(json.dumps(metrics, indent=1) + "\n")
    return metrics


def _inputs(champion: Manifest, shards: Shards, network: Features) -> dict[str, str]:
    return {"champion": champion.digest, "prepare": shards.digest, FEATURES: network.digest}


def _kept(store: Store, prefix: str) -> Metrics | None:
    manifest = read_manifest(store, prefix)
    if manifest is None or missing_files(store, prefix, manifest):
        return None
    found: Metrics = json.loads(read_named(store, prefix, manifest, METRICS))
    return found


def _measured(
    store: Store, experiment: Experiment, shards: Shards, network: Features, champion: str, place: Place
) -> Metrics:
    try:
        generator = read_generator(store, champion)
    except (DamagedFile, ConfigError) as error:
        raise CannotScore(f"cannot be read ({error})") from None
    data = open_shards(store, shards.prefix)
    if (why := unfit(generator, data)) is not None:
        raise CannotScore(why)
    looking = Looking(store, shards, data, experiment.evaluate, network, place)
    try:
        found = measured_of(generator, champion, looking, read_features(store, network.prefix))
    except Diverged as error:
        raise CannotScore(f"makes no images ({error})") from None
    return {name: measured.model_dump(exclude_none=True) for name, measured in found.items()}


def unfit(generator: Generator, data: Data) -> str | None:
    """Why a generator cannot be asked for what a data set holds; None when it can."""
    makes, holds = ("x".join(map(str, shape)) for shape in (generator.spec.output, data.shape))
    if makes != holds or generator.spec.kind != data.kind:
        return f"makes {generator.spec.modality.noun} of {makes}, and this data set has {holds}"
    if generator.spec.symbols != data.form.symbols:
        return "makes texts of other symbols than this data set has"
    if generator.translates is not None and generator.translates != data.shape:
        return f"translates images of {'x'.join(map(str, generator.translates))}, and this data set has {holds}"
    if generator.translates is not None and data.classes != 2:
        return "translates between two domains, and this data set has none"
    if generator.classes and generator.translates is None and generator.classes != data.classes:
        return f"makes {generator.classes} classes, and this data set has {data.classes}"
    for attribute in generator.attributes:
        if attribute.name not in data.split("train").attribute_names:
            return f"is asked for '{attribute.name}', which this data set does not have"
    return None
