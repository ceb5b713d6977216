from __future__ import annotations

import pytest

from gan_core.store import Store
from tests.artefacts import publish_one


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with one version of `digits`, 8 × 8, of 10 classes.  Shared by all tests: change none of it."""
    store = Store(tmp_path_factory.mktemp("served") / "store")
    publish_one(store)
    return store
