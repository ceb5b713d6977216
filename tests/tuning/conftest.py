"""A store of digits and of a feature network, for trials that run without Ray."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gan_core.data.shards import Split, open_shards
from gan_core.manifest import artefact
from gan_core.metrics.domain import train_domain
from gan_core.store import Store
from pipelines.handles import Features
from tests.tuning.trials import FEATURES, SHARDS, Bench, Heard


@pytest.fixture(scope="session")
def trials_store(digits_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """With random features, which are as good as trained ones at being the same each time."""
    folder = tmp_path_factory.mktemp("trials")
    shutil.copytree(Path(digits_store.url.removeprefix("file://")) / SHARDS, folder / SHARDS)
    store = Store(folder)
    shards = open_shards(store, SHARDS)
    network = train_domain(Split(shards.split("train").parts, None), shards.form, 0, 0)
    with artefact(store, FEATURES, kind=Features.KIND, key="random") as draft:
        network.save(draft.path)
    return store


@pytest.fixture
def bench(trials_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A search of this test's own; what its trials tell Tune is heard here."""
    heard = Heard()
    monkeypatch.setattr("pipelines.tuning.trial.tune.report", heard.report)
    return Bench(trials_store, f"tune/{tmp_path.name}", heard)
