from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real data sets as files, where GAN_TEST_DATA says they are."""
    if not (root := os.environ.get("GAN_TEST_DATA")):
        pytest.skip("GAN_TEST_DATA names no folder of real data sets")
    return Path(root)
