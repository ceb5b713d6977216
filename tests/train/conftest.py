"""Runs on an S3 server of their own, which a test may stop, start again, and have answer errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from tests.s3_server import S3Server, no_fault, s3_server
from tests.train.saves import SECRET, place_in


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with s3_server("uploads", SECRET) as server:
        yield server


@pytest.fixture
def server(running: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where checkpoints on their way to S3 are staged
    monkeypatch.setattr("gan_core.patience.LONGEST_WAIT_S", 0.2)
    running.asked.clear()
    yield running
    running.fault = no_fault
    running.start()


@pytest.fixture(scope="module")
def remote(running: S3Server) -> Store:
    return Store("s3://uploads/x")


@pytest.fixture
def place(server: S3Server, remote: Store) -> RunPlace:
    return place_in(remote)
