"""Of runs that would make the same result, one makes it and the others wait."""

from __future__ import annotations

import threading

from gan_core.config import load_experiment
from pipelines.keys import STAGES, settings
from pipelines.plan import Action, Step
from pipelines.records import StageRecord
from pipelines.turns import Turns, results_of


def waiter(turns: Turns, results: set[str]) -> tuple[threading.Thread, threading.Event]:
    """A thread that takes the results, and what tells when it has."""
    taken = threading.Event()

    def take() -> None:
        with turns.taken(results):
            taken.set()

    thread = threading.Thread(target=take)
    thread.start()
    return thread, taken


def test_another_waits_until_the_result_is_made_and_no_longer() -> None:
    turns = Turns()
    with turns.taken({"shards", "run 1"}):
        thread, taken = waiter(turns, {"shards", "run 2"})
        assert not taken.wait(0.05)
        turns.made({"shards"})
        assert taken.wait(5)
        thread.join()


def test_what_is_made_keeps_nobody_waiting_afterwards() -> None:
    turns = Turns()
    turns.made({"shards"})
    with turns.taken({"shards", "run 1"}):
        thread, taken = waiter(turns, {"shards", "run 2"})
        assert taken.wait(5)
        thread.join()


def test_one_that_ended_without_making_it_leaves_it_to_the_next() -> None:
    turns = Turns()
    with turns.taken({"shards"}):
        thread, taken = waiter(turns, {"shards"})
        assert not taken.wait(0.05)
    assert taken.wait(5)
    thread.join()


def planned(*overrides: str) -> dict[str, str]:
    experiment = load_experiment("configs/digits.yaml", overrides)
    actions = [Action.RUN, *[Action.DEPENDS] * 3]
    return results_of([
        Step(stage, action, "", StageRecord(key="", config=settings(experiment, stage), inputs={}, code={}))
        for stage, action in zip(STAGES, actions, strict=True)
    ])


def test_results_are_the_same_where_all_that_makes_them_is() -> None:
    one, other = planned("seed=0", "name=a"), planned("seed=1", "name=b")
    assert one["prepare"] == other["prepare"]
    assert one["train"] != other["train"]
    assert one["evaluate"] != other["evaluate"]  # its settings are the same, what it looks at is not
