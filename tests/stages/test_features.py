"""The feature network of a data set: made once, found again, and asked for by training and evaluation alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gan_core.data.shards import open_shards
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.errors import StoreError
from gan_core.manifest import read_manifest
from gan_core.store import Store
from pipelines.features import fd_domain_in, features_at_hand, features_of, read_features
from pipelines.handles import Shards
from tests.domains import PREFIX
from tests.train.runs import contents

KEY = "f" * 64


def written(store: Store) -> Shards:
    """The digits in a store."""
    write_shards(Digits(), store, PREFIX, shard_examples=4096, key="digits")
    manifest = read_manifest(store, PREFIX)
    assert manifest is not None
    return Shards(store.uri(PREFIX), PREFIX, manifest.digest)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr("gan_core.metrics.domain.MOST_IMAGES", 640)  # a second less
    return Store(tmp_path / "store")


def test_it_is_made_once_and_says_of_what(store: Store) -> None:
    shards = written(store)
    made = features_of(store, shards, KEY, 0)
    assert made.prefix == f"features/{KEY[:16]}"
    before = contents(store)
    assert features_of(store, shards, KEY, 0) == made
    assert features_at_hand(store, shards, KEY, 0) == made
    assert contents(store) == before
    manifest = read_manifest(store, made.prefix)
    assert manifest is not None
    assert (manifest.kind, manifest.digest, manifest.parents) == ("features", made.digest, (shards.parent(),))


def test_a_worker_measures_with_the_one_in_the_store(store: Store) -> None:
    shards = written(store)
    made = features_of(store, shards, KEY, 0)
    real = open_shards(store, PREFIX).split("validation").images
    measure = fd_domain_in(store, made.prefix, real)
    assert measure(real)["fd_domain"] == pytest.approx(0, abs=1e-9)
    assert measure(255 - real)["fd_domain"] > 1
    assert np.isfinite(read_features(store, made.prefix).features(real)).all()
    store.delete(made.prefix)
    with pytest.raises(StoreError, match="is not there any more; run the same command again"):
        fd_domain_in(store, made.prefix, real)


def test_of_a_set_larger_than_the_cache_it_is_not_made_only_to_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gan_core.metrics.domain.MOST_IMAGES", 640)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store = Store("memory://large")
    shards = written(store)
    monkeypatch.setenv("GAN_CACHE_BYTES", "100000")
    assert features_at_hand(store, shards, KEY, 0) is None
    monkeypatch.delenv("GAN_CACHE_BYTES")
    made = features_of(store, shards, KEY, 0)
    monkeypatch.setenv("GAN_CACHE_BYTES", "100000")
    assert features_at_hand(store, shards, KEY, 0) == made
