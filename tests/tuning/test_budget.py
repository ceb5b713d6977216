"""The time that a search has taken, over all its starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gan_core.store import Store
from pipelines.tuning import budget
from pipelines.tuning.budget import NOTE_EVERY_S, Budget

SEARCH = "tune/s"


class Clock:
    now = 50.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(budget, "time", made)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def begun(store: Store, clock: Clock, limit_s: float | None) -> Budget:
    """A start by this clock."""
    return replace(Budget.of(store, SEARCH, limit_s), _began=clock.now)


def test_what_earlier_starts_took_is_gone_from_the_budget(store: Store, clock: Clock) -> None:
    for seconds, left in ((30.0, 100.0), (20.0, 70.0), (60.0, 50.0)):
        start = begun(store, clock, 100.0)
        assert start.left == left
        clock.now += seconds
        start.note(now=True)
    assert Budget.of(store, SEARCH, 100.0).left == 0.0


def test_a_start_that_was_killed_has_taken_what_it_noted_last(store: Store, clock: Clock) -> None:
    start = begun(store, clock, 100.0)
    for _ in range(9):
        clock.now += NOTE_EVERY_S / 3 + 0.1
        start.note()
    left = Budget.of(store, SEARCH, 100.0).left
    assert left is not None
    assert 100 - 9 * (NOTE_EVERY_S / 3 + 0.1) <= left <= 100 - 9 * (NOTE_EVERY_S / 3 + 0.1) + NOTE_EVERY_S + 1


def test_it_is_not_written_at_every_look(store: Store, clock: Clock) -> None:
    start = begun(store, clock, 100.0)
    start.note()
    assert store.names(f"{SEARCH}/spent") == []
    clock.now += NOTE_EVERY_S + 1
    start.note()
    assert len(store.names(f"{SEARCH}/spent")) == 1


def test_a_search_without_a_budget_has_none_left_to_use_up(store: Store, clock: Clock) -> None:
    start = begun(store, clock, None)
    clock.now += 1e6
    start.note(now=True)
    assert Budget.of(store, SEARCH, None).left is None
    assert Budget.of(store, SEARCH, 2e6).left == 1e6
