"""Creating by claims: one winner, whoever is slow, dies, or comes late."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from gan_core import claims
from gan_core.claims import Timing, create
from gan_core.errors import StoreError

ROOT, OBJECT, FOLDER = "/claimed", "/claimed/P", "/claimed/.claims/P"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "TIMING", Timing(settle=0.1, lease=0.4, poll=0.02))


@pytest.fixture
def fs() -> Iterator[MemoryFileSystem]:
    made = MemoryFileSystem()
    yield made
    if made.exists(ROOT):
        made.rm(ROOT, recursive=True)


def lay(fs: MemoryFileSystem, name: str, data: bytes, before: float = 0.0) -> None:
    """Another writer's claim, dated so many seconds ago."""
    fs.pipe_file(f"{FOLDER}/{name}", data)
    fs.store[f"{FOLDER}/{name}"].created = datetime.now(UTC) - timedelta(seconds=before)


def left(fs: MemoryFileSystem) -> list[str]:
    return [path.rpartition("/")[2] for path in fs.find(FOLDER)]


def lost(fs: Any, data: bytes) -> bool:
    try:
        create(fs, OBJECT, FOLDER, data)
    except FileExistsError:
        return True
    return False


def test_of_eight_writers_one_wins_and_the_object_is_its_own(fs: MemoryFileSystem) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda i: lost(fs, str(i).encode()), range(8)))
    assert outcomes.count(False) == 1
    assert fs.cat_file(OBJECT) == str(outcomes.index(False)).encode()
    assert left(fs) == []


def test_an_object_that_is_there_is_refused_without_a_claim(fs: MemoryFileSystem) -> None:
    fs.pipe_file(OBJECT, b"there")
    assert lost(fs, b"mine")
    assert (fs.cat_file(OBJECT), left(fs)) == (b"there", [])


def test_the_earlier_claim_wins_and_the_later_waits_for_its_object(fs: MemoryFileSystem) -> None:
    lay(fs, "zzz", b"earlier", before=0.05)
    writer = threading.Timer(0.25, lambda: (fs.pipe_file(OBJECT, b"earlier"), fs.rm_file(f"{FOLDER}/zzz")))
    writer.start()
    assert lost(fs, b"later")
    assert fs.cat_file(OBJECT) == b"earlier"
    writer.join()
    assert left(fs) == []


@pytest.mark.parametrize(("name", "loses"), [("0" * 32, True), ("z" * 32, False)])
def test_of_claims_with_one_date_the_lowest_name_wins(
    fs: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch, name: str, loses: bool
) -> None:
    monkeypatch.setattr(claims, "_modified", lambda info: datetime(2026, 1, 1, tzinfo=UTC))  # a coarse clock
    lay(fs, name, b"other's")
    assert lost(fs, b"mine") is loses
    assert fs.cat_file(OBJECT) == (b"other's" if loses else b"mine")


def test_a_writer_that_died_after_its_claim_has_created_what_it_claimed(fs: MemoryFileSystem) -> None:
    """Its content stands, so that it writes nothing new should it be slow and not dead."""
    lay(fs, "dead", b"of the dead", before=60)
    assert lost(fs, b"mine")
    assert (fs.cat_file(OBJECT), left(fs)) == (b"of the dead", [])


def test_a_claim_that_was_withdrawn_makes_way_for_the_next(fs: MemoryFileSystem) -> None:
    lay(fs, "aaa", b"earlier", before=0.05)
    writer = threading.Timer(0.2, lambda: fs.rm_file(f"{FOLDER}/aaa"))
    writer.start()
    assert not lost(fs, b"mine")
    assert fs.cat_file(OBJECT) == b"mine"


class Troubled(MemoryFileSystem):
    """Memory that is slow to take claims, or that fails to take the object."""

    cachable = False
    slow_s, fails = 0.0, ""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if self.fails and path.endswith(self.fails):
            raise TimeoutError("no answer")
        super().pipe_file(path, value, mode=mode, **kwargs)
        time.sleep(self.slow_s)


def test_a_claim_that_came_too_late_for_others_listings_is_not_gone_by(fs: MemoryFileSystem) -> None:
    slow = Troubled()
    slow.slow_s = 0.06  # more than half the settling time
    with pytest.raises(StoreError, match=r"took 0\.\d s to write"):
        create(slow, OBJECT, FOLDER, b"late")
    assert not fs.exists(OBJECT)
    assert left(fs) == []


def test_where_the_winners_write_may_still_arrive_its_claim_stays_and_is_finished(fs: MemoryFileSystem) -> None:
    failing = Troubled()
    failing.fails = "/P"
    with pytest.raises(TimeoutError):
        create(failing, OBJECT, FOLDER, b"perhaps written")
    assert len(left(fs)) == 1
    assert lost(fs, b"another's")
    assert fs.cat_file(OBJECT) == b"perhaps written"


def test_a_claim_that_cannot_be_withdrawn_undoes_no_creation(
    fs: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(path: str) -> None:
        raise StoreError("the store does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(fs, "rm_file", away)
        create(fs, OBJECT, FOLDER, b"mine")
    assert fs.cat_file(OBJECT) == b"mine"
    assert lost(fs, b"another")
