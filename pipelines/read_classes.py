"""What the images of a published generator are, as a classifier of its own training images reads them."""

from __future__ import annotations

import numpy as np

from gan_core.data.shards import Shards, open_shards
from gan_core.errors import GanError
from gan_core.explore.attributes import Reading
from gan_core.explore.picture import LeftOut
from gan_core.manifest import read_manifest
from gan_core.metrics.agreement import classifier
from gan_core.modalities.kinds import modality_of
from gan_core.store import Store
from pipelines.models import find_artefact, lineage

MOST_IMAGES = 2000  # that the classifier is fitted to: enough for a direction, in seconds


def reading_of(store: Store, prefix: str) -> Reading | LeftOut:
    """A classifier fitted to the train split that a version's lineage names; why there is none, in one line."""
    try:
        found = _shards(store, prefix)
        return LeftOut("attributes", found) if isinstance(found, str) else _fitted(found)
    except GanError as error:  # shards that are damaged or lack the split cost this picture alone
        return LeftOut("attributes", str(error).partition("\n")[0])


def _shards(store: Store, prefix: str) -> Shards | str:
    manifest = read_manifest(store, prefix)
    parents = [] if manifest is None else lineage(store, manifest.parents)
    named = [parent for parent in parents if parent.kind == "shards"]
    if not named:
        return f"the lineage of {store.uri(prefix)} names no training shards whose labels could be read"
    found = find_artefact(store, named[-1])
    if found is None:
        return f"the training shards, {named[-1].uri}, are not there any more; `gan run` of the experiment makes them"
    shards = open_shards(store, found[0])
    if not shards.classes or shards.split("train").labels is None:
        return f"the training shards, {store.uri(found[0])}, have no labels to find directions of"
    return shards


def _fitted(shards: Shards) -> Reading:
    train = shards.split("train")
    chosen = np.unique(np.linspace(0, len(train) - 1, min(MOST_IMAGES, len(train))).round().astype(np.int64))
    labels = np.asarray(train.labels)[chosen].astype(np.int64)
    names = shards.facts.get("class_names") or [f"class {label}" for label in range(shards.classes)]
    views = modality_of(shards.form).views(train.gather(chosen))
    return Reading(classifier(views, labels), [str(name) for name in names])
