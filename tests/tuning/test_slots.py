"""Trials with several workers take turns, and one that fell silent gives way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.tuning import slots
from pipelines.tuning.slots import SILENT_S, Slots, slot


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(slots, "time", made)
    return made


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of the process that holds the slots is done here."""
    monkeypatch.setattr(slots, "ray", SimpleNamespace(get=lambda answer, timeout: answer))


def as_actor(held: Slots) -> Any:
    return SimpleNamespace(hold=SimpleNamespace(remote=held.hold), free=SimpleNamespace(remote=held.free))


def test_there_are_no_more_holders_than_room(clock: Clock) -> None:
    held = Slots(2)
    assert [held.hold(who) for who in "abc"] == [True, True, False]
    held.free("a")
    assert held.hold("c")


def test_a_holder_that_asks_again_keeps_its_slot(clock: Clock) -> None:
    held = Slots(1)
    for _ in range(10):
        assert held.hold("a")
        assert not held.hold("b")
        clock.now += SILENT_S / 2


def test_the_slot_of_a_silent_holder_is_free(clock: Clock) -> None:
    held = Slots(1)
    assert held.hold("a")
    clock.now += SILENT_S - 0.1
    assert not held.hold("b")
    clock.now += 0.2
    assert held.hold("b")
    assert not held.hold("a")


def test_who_holds_none_may_free_it(clock: Clock) -> None:
    held = Slots(1)
    assert held.hold("a")
    held.free("b")
    assert not held.hold("b")


def test_one_waits_for_a_slot_and_gives_it_up_however_it_ends(clock: Clock, near: None) -> None:
    held = Slots(1)
    assert held.hold("another")

    def train() -> None:
        with slot(as_actor(held), "a") as mine:
            assert clock.now >= 100 + SILENT_S
            assert mine.keep()
            assert not held.hold("b")
            raise ValueError("end")

    with pytest.raises(ValueError, match="end"):
        train()
    assert held.hold("b")
