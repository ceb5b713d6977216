"""What becomes of a scheduled run: skipped for being late or overlapping, nothing new, refused, failed, stopped."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from gan_core.config import Experiment
from gan_core.errors import ConfigError, DataError, Interrupted
from gan_core.store import Store
from pipelines import notify, scheduled
from pipelines.attempt import Attempt
from pipelines.handles import Published
from pipelines.lock import ExperimentLock, ask_to_cancel
from pipelines.plan import Planner
from pipelines.profile import Profile
from pipelines.records import StageResult, latest_stages
from pipelines.run import Opened
from pipelines.scheduled import Begun, lateness, open_values, outcome

Make = Callable[..., Experiment]
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: object) -> Store:
    return Store(str(tmp_path))


def opened(store: Store, experiment: Experiment) -> Opened:
    return Opened(experiment, Profile(), store, Planner(store, experiment))


def stages_do(monkeypatch: pytest.MonkeyPatch, work: Callable[[Attempt], Published]) -> None:
    """Has the stages replaced by `work`."""
    def publish(opened: Opened, stack: ExitStack, made: Attempt) -> Published:
        return work(made)

    monkeypatch.setattr(scheduled, "_publish", publish)


def raises(error: BaseException) -> Callable[[Attempt], Published]:
    def work(made: Attempt) -> Published:
        raise error

    return work


def publishes(made: Attempt) -> Published:
    return Published("file:///models/tiny/versions/0001", "0001", True, ())


def is_refused(made: Attempt) -> Published:
    return Published("file:///models/tiny/versions/0001", "0001", False, ("coverage is 0.2",))


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What people are told, in place of addresses that hear it."""
    heard: list[tuple[str, str]] = []
    monkeypatch.setattr(notify, "tell", lambda event, title, text: heard.append((str(event), text)))

    def outcome_told(store: Store, of: Experiment, ended: Published | BaseException, text: str = "") -> None:
        heard.append((type(ended).__name__, text))

    monkeypatch.setattr(notify, "tell_outcome", outcome_told)
    return heard


@pytest.mark.parametrize(("begun", "expected"), [
    (Begun(due=NOON - timedelta(minutes=29)), None),
    (Begun(due=NOON - timedelta(minutes=31)), timedelta(minutes=31)),
    (Begun(due=NOON - timedelta(days=1), attempt=2), None),
    (Begun(), None),
])
def test_a_run_is_late_by_its_settings_unless_it_had_begun_before(
    store: Store, experiment: Make, begun: Begun, expected: timedelta | None
) -> None:
    settings = experiment(schedule={"late_after": "30m"})
    assert lateness(opened(store, settings), begun, NOON) == expected


def test_a_late_run_is_skipped_in_green_and_told(
    store: Store, experiment: Make, told: list[tuple[str, str]]
) -> None:
    settings = experiment(schedule={"late": "skip"})
    state = outcome(opened(store, settings), Begun(due=NOON - timedelta(hours=2)), NOON)
    assert (state.name, state.is_completed()) == ("Skipped: late", True)
    assert "2:00:00" in str(state.message)
    assert not store.names("experiments/tiny")
    assert told == [("late", str(state.message))]


def test_a_late_run_that_is_to_run_all_the_same_is_told(
    store: Store, experiment: Make, monkeypatch: pytest.MonkeyPatch, told: list[tuple[str, str]]
) -> None:
    stages_do(monkeypatch, publishes)
    state = outcome(opened(store, experiment()), Begun(due=NOON - timedelta(hours=2)), NOON)
    assert state.name == "Completed"
    assert [event for event, _ in told][:1] == ["late"]


def test_a_run_that_meets_another_is_skipped_in_green_where_the_settings_say_so(store: Store, experiment: Make) -> None:
    settings = experiment(schedule={"overlapping": "skip"})
    with ExperimentLock.acquire(store, "tiny", run="experiments/tiny/other.json"):
        state = outcome(opened(store, settings), Begun(), NOON)
    assert (state.name, state.is_completed()) == ("Skipped: another is at work", True)


def test_a_run_that_meets_another_waits_for_its_end_and_says_so(
    store: Store, experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages_do(monkeypatch, publishes)
    monkeypatch.setattr(scheduled, "LOOK_S", 0.02)
    said: list[str] = []
    other = ExperimentLock.acquire(store, "tiny", run="experiments/tiny/other.json")
    threading.Timer(0.3, other.release).start()
    state = outcome(opened(store, experiment()), Begun(say=said.append), NOON)
    assert state.is_completed()
    assert len(said) == 1
    assert "is run already" in said[0]


@pytest.mark.parametrize(("error", "kind", "name", "words"), [
    (DataError("no such image; look at the folder"), "FAILED", "Failed", "no such image; look at the folder"),
    (RuntimeError("nobody thought of this"), "FAILED", "Failed", "nobody thought of this"),
    (Interrupted("stopped by SIGTERM at 64 images; and so on", 143), "CRASHED", "Crashed", "at 64 images"),
    (KeyboardInterrupt(), "CRASHED", "Crashed", "stopped by SIGTERM"),
])
def test_how_a_run_ends_is_in_the_name_of_its_state(
    store: Store, experiment: Make, monkeypatch: pytest.MonkeyPatch, error: BaseException, kind: str, name: str,
    words: str,
) -> None:
    stages_do(monkeypatch, raises(error))
    state = outcome(opened(store, experiment()), Begun(), NOON)
    assert (state.type.value, state.name) == (kind, name)
    assert words in str(state.message)


def test_a_run_that_the_gate_refused_is_green_and_told(
    store: Store, experiment: Make, monkeypatch: pytest.MonkeyPatch, told: list[tuple[str, str]]
) -> None:
    stages_do(monkeypatch, is_refused)
    state = outcome(opened(store, experiment()), Begun(), NOON)
    assert (state.name, state.is_completed()) == ("Gate refused", True)
    assert "coverage is 0.2; file:///models/tiny/versions/0001 is published and not champion" in str(state.message)
    assert told == [("Published", str(state.message))]


def test_a_failure_is_told_in_the_words_of_the_state(
    store: Store, experiment: Make, monkeypatch: pytest.MonkeyPatch, told: list[tuple[str, str]]
) -> None:
    stages_do(monkeypatch, raises(DataError("no such image; look at the folder")))
    state = outcome(opened(store, experiment()), Begun(), NOON)
    assert told == [("RunFailed", str(state.message))]


def test_a_run_that_somebody_asked_to_stop_is_cancelled(
    store: Store, experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_LEASE_S", "0.6")

    def asked(made: Attempt) -> Published:
        ask_to_cancel(store, "tiny", made.lock.holder.number, "disk is full")
        time.sleep(30)
        return publishes(made)

    stages_do(monkeypatch, asked)
    with scheduled.sigterm_interrupts():
        state = outcome(opened(store, experiment()), Begun(), NOON)
    assert state.is_cancelled()
    assert "disk is full" in str(state.message)


def test_a_run_that_finds_all_done_after_waiting_has_nothing_new(
    store: Store, experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    reused = StageResult(name="publish", status="REUSED", seconds=0.0, uri="file:///v1")
    monkeypatch.setattr(Attempt, "results", (reused,))
    stages_do(monkeypatch, publishes)
    assert outcome(opened(store, experiment()), Begun(), NOON).name == "Nothing new"


@pytest.fixture
def done(undisturbed: tuple[object, str, str]) -> Store:
    return Store(str(undisturbed[0]))


@pytest.mark.slow
def test_a_run_with_nothing_new_ends_in_green_with_a_record_and_no_flow(done: Store) -> None:
    name = "digits"
    newest = sorted(done.names(f"experiments/{name}"))[-1]
    values = done.read(f"experiments/{name}/{newest}")

    finished = open_values(json.loads(values)["experiment"], done.url, {}, ())
    before = len(done.names(f"experiments/{name}"))
    state = outcome(finished, Begun(), NOON)
    assert (state.name, state.is_completed()) == ("Nothing new", True)
    assert len(done.names(f"experiments/{name}")) == before + 1
    assert set(latest_stages(done, name)) == {"prepare", "train", "evaluate", "publish"}


def test_parameters_are_checked_as_a_file_is(store: Store, experiment: Make) -> None:
    values = experiment().as_json()
    values["train"]["workers"] = 7
    with pytest.raises(ConfigError, match=r"train\.workers=7 cannot share train\.batch=64 evenly"):
        open_values(values, store.url, None, ())
