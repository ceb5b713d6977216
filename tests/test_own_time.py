"""What counts as a worker's own work, and what as waiting for the others."""

from __future__ import annotations

import pytest
import torch

from gan_core.own_time import OwnTime

CPU = torch.device("cpu")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("gan_core.own_time.time.perf_counter", made)
    return made


def test_time_in_an_exchange_with_others_is_not_own(clock: Clock) -> None:
    own = OwnTime()
    own.begin(CPU)
    clock.now += 1
    with own.others():
        clock.now += 10
    clock.now += 2
    own.end()
    clock.now += 100  # between steps
    assert own.take() == (3.0, 1)
    assert own.take() == (0.0, 0)


def test_from_the_last_gradients_handed_over_to_the_end_of_the_backward_pass_a_worker_waits(clock: Clock) -> None:
    own = OwnTime()
    own.begin(CPU)
    clock.now += 1
    own.handed_over()
    clock.now += 1  # the rest of the pass, beside the first gradients on their way
    own.handed_over()
    clock.now += 10
    own.received()
    clock.now += 1  # the optimizer
    own.end()
    assert own.take() == (3.0, 1)


def test_a_pass_without_gradients_for_others_is_all_own(clock: Clock) -> None:
    own = OwnTime()
    own.begin(CPU)
    own.handed_over()
    clock.now += 1
    with own.others():  # what was handed over before is not the last of the pass
        clock.now += 10
    clock.now += 1
    own.received()
    own.end()
    assert own.take() == (2.0, 1)


def test_what_happens_outside_a_measured_step_counts_for_nothing(clock: Clock) -> None:
    own = OwnTime()
    with own.others():
        clock.now += 1
    own.handed_over()
    own.received()
    own.end()
    assert own.take() == (0.0, 0)


def test_a_step_that_failed_leaves_nothing_open(clock: Clock) -> None:
    own = OwnTime()
    own.begin(CPU)
    clock.now += 1
    own.begin(CPU)  # after a roll-back
    clock.now += 2
    own.end()
    assert own.take() == (2.0, 2)
