"""A champion measured anew on another version's data: as evaluate would measure it there, once."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gan_core.bundle import load_generator
from gan_core.config import Experiment, experiment_from
from gan_core.data.shards import open_shards
from gan_core.manifest import read_manifest
from gan_core.store import Store
from pipelines import champion_scores
from pipelines.champion import CannotScore
from pipelines.champion_scores import scored_anew, unfit
from pipelines.handles import Shards, Trained
from pipelines.stages.evaluate import evaluate
from tests.artefacts import an_experiment, finish_run, finish_scores, flip_a_byte, publish_as

SHARDS = "shards/digits"
FEATURES = "f" * 64
CHAMPION = "models/digits/versions/0001"


def handle(kind: Any, store: Store, prefix: str) -> Any:
    manifest = read_manifest(store, prefix)
    assert manifest is not None
    return kind(store.uri(prefix), prefix, manifest.digest)


def settings(**evaluate: Any) -> Experiment:
    return experiment_from(an_experiment().as_json() | {"evaluate": {"samples": 60, "kid_subsets": 2, **evaluate}})


def scored(store: Store, **evaluate: Any) -> dict[str, Any]:
    return dict(scored_anew(store, settings(**evaluate), handle(Shards, store, SHARDS), FEATURES, CHAMPION))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, digits_store: Store) -> Store:
    """Digits, a champion, and what measuring it once leaves.  Read it; change copies of it."""
    store = Store(tmp_path_factory.mktemp("champion") / "store")
    shutil.copytree(digits_store.local_path(""), store.local_path(""))
    run = finish_run(store)
    publish_as(store, "p1", run, finish_scores(store, run))
    scored(store)
    return store


@pytest.fixture
def store(made: Store, tmp_path: Path) -> Store:
    shutil.copytree(made.local_path(""), tmp_path / "store")
    return Store(tmp_path / "store")


def no_measuring(*told: Any) -> Any:
    raise AssertionError("it was measured before")


def test_it_is_what_evaluate_would_write_of_a_run_there(store: Store) -> None:
    evaluate(store, settings(), handle(Shards, store, SHARDS), handle(Trained, store, "runs/r1"), key="e",
             prefix="scores/e", features=FEATURES)
    assert scored(store) == json.loads(store.read("scores/e/metrics.json"))


def test_it_is_measured_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (kept,) = store.names("references")
    monkeypatch.setattr(champion_scores, "measured_of", no_measuring)
    assert scored(store) == json.loads(store.read(f"references/{kept}/metrics.json"))
    manifest = read_manifest(store, f"references/{kept}")
    assert manifest is not None
    assert [parent.kind for parent in manifest.parents] == ["version", "shards"]
    for other in ({"k": 3}, {"seed": 1}, {"split": "train"}, {"samples": 50}):
        with pytest.raises(AssertionError, match="measured before"):
            scored(store, **other)


def test_a_kept_one_that_was_damaged_is_measured_again(store: Store) -> None:
    before = scored(store)
    (kept,) = store.names("references")
    flip_a_byte(store, f"references/{kept}/metrics.json")
    assert scored(store) == before
    assert json.loads(store.read(f"references/{kept}/metrics.json")) == before


def test_another_data_set_is_another_measurement(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(champion_scores, "measured_of", no_measuring)
    shards = replace(handle(Shards, store, SHARDS), digest="0" * 64)
    with pytest.raises(AssertionError, match="measured before"):
        scored_anew(store, settings(), shards, FEATURES, CHAMPION)


@pytest.mark.parametrize(("file", "message"), [
    ("generator.safetensors", r"cannot be read \(.*generator.safetensors: is damaged"),
    ("generator.json", r"cannot be read \(.*generator.json: is damaged"),
])
def test_a_champion_that_cannot_be_read_says_so(store: Store, file: str, message: str) -> None:
    flip_a_byte(store, f"{CHAMPION}/{file}")
    store.delete("references")
    with pytest.raises(CannotScore, match=message):
        scored(store)


def test_a_champion_that_is_gone_says_so(store: Store) -> None:
    store.delete(CHAMPION)
    with pytest.raises(CannotScore, match="is not whole any more"):
        scored(store)


@pytest.mark.parametrize(("network", "message"), [
    ({"channels": 3}, "makes images of 3x8x8, and this data set has 1x8x8"),
    ({"classes": 7}, "makes 7 classes, and this data set has 10"),
])
def test_a_generator_of_other_images_or_classes_does_not_fit(
    store: Store, network: dict[str, int], message: str
) -> None:
    run = finish_run(store, "r2", **network)
    publish_as(store, "p2", run, finish_scores(store, run, "e2"))
    with pytest.raises(CannotScore, match=message):
        scored_anew(store, settings(), handle(Shards, store, SHARDS), FEATURES, "models/digits/versions/0002")


def test_a_generator_without_classes_fits_a_data_set_with_them(store: Store) -> None:
    run = finish_run(store, "r2", classes=0)
    generator, data = load_generator(store.uri(run)), open_shards(store, SHARDS)
    assert unfit(generator, data) is None
    assert np.unique(generator.sample(2)).size > 1
