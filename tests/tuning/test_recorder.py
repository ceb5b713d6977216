"""What becomes of trials in the store, and when all of them end."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayTaskError

from gan_core.errors import ConfigError, StoreError, WorkersFailed
from gan_core.store import Store
from pipelines.interrupt import StopSignals
from pipelines.tuning import recorder as module
from pipelines.tuning.recorder import FAILED_FIRST, OUT_OF_TIME, Recorder
from pipelines.tuning.records import TrialEnd, TrialSettings, read_trial, trial_prefix, write
from pipelines.tuning.settings import LOOKS, POSITION, VALUE

SEARCH, LOOKS_IN_ALL = "tune/s", 4


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def heard() -> list[None]:
    return []


@pytest.fixture
def recorder(store: Store, heard: list[None]) -> Recorder:
    return Recorder(store, LOOKS_IN_ALL, StopSignals("it goes on"), lambda: heard.append(None), None)


def tuned(store: Store, number: int, looks: int = 0, error: BaseException | None = None) -> Any:
    """Tune's record of a trial that is in the store."""
    at = trial_prefix(SEARCH, number)
    write(store, f"{at}/trial.json", TrialSettings(number=number, params={}, seed=0))
    result = {VALUE: 1.0, LOOKS: looks, POSITION: looks * 128} if looks else {}
    return SimpleNamespace(config={"at": at, "number": number}, last_result=result, get_pickled_error=lambda: error)


def end_of(store: Store, number: int) -> TrialEnd | None:
    trial = read_trial(store, trial_prefix(SEARCH, number))
    assert trial is not None
    return trial.end


def looked(recorder: Recorder, trial: Any) -> None:
    recorder.on_trial_result(1, [], trial, trial.last_result)


def failed(recorder: Recorder, store: Store, number: int, error: BaseException) -> None:
    recorder.on_trial_error(1, [], tuned(store, number, error=error))


def test_a_trial_ends_with_its_last_look(recorder: Recorder) -> None:
    assert [recorder("t", {LOOKS: looks}) for looks in (1, 3, 4)] == [False, False, True]


@pytest.mark.parametrize(("looks", "status"), [(4, "finished"), (2, "stopped"), (0, "stopped")])
def test_a_trial_that_the_scheduler_ended_is_recorded_by_how_far_it_came(
    recorder: Recorder, store: Store, heard: list[None], looks: int, status: str
) -> None:
    recorder.on_trial_complete(1, [], tuned(store, 0, looks))
    assert end_of(store, 0) == TrialEnd.model_validate({"status": status})
    assert len(heard) == 1


def test_what_a_trial_said_of_its_end_stays(recorder: Recorder, store: Store) -> None:
    for number, said in enumerate((TrialEnd(status="finished"), TrialEnd(status="failed", problem="no such width"))):
        trial = tuned(store, number, 2)
        write(store, f"{trial.config['at']}/ended.json", said)
        recorder.on_trial_complete(1, [], trial)
        assert end_of(store, number) == said
    assert recorder.failed == ["no such width"]


def test_what_another_try_cannot_mend_has_failed(recorder: Recorder, store: Store) -> None:
    failed(recorder, store, 0, ValueError("first line\nthe reason\n"))
    failed(recorder, store, 1, RayActorError())
    told = [end_of(store, number) for number in range(2)]
    assert [one and one.status for one in told] == ["failed", "failed"]
    assert told[0] is not None
    assert told[0].problem == "the reason"
    assert told[1] is not None
    assert told[1].problem.startswith("its process")
    assert recorder.lost == []


def test_a_store_that_was_out_leaves_the_trial_to_be_gone_on_with(recorder: Recorder, store: Store) -> None:
    outage = WorkersFailed("trial 3 has no checkpoint to go on from")
    failed(recorder, store, 0, RayTaskError("run_trial", "Traceback", outage))
    assert end_of(store, 0) is None
    recorder.worked = True
    with pytest.raises(WorkersFailed, match=r"^1 trials are not finished, .*trial 3 has no checkpoint.*goes on$"):
        recorder.raise_what_failed()


def test_a_search_of_which_the_first_all_failed_is_given_up(recorder: Recorder, store: Store) -> None:
    for number in range(FAILED_FIRST - 1):
        failed(recorder, store, number, ValueError(f"wrong {number}"))
    assert not recorder.stop_all()
    failed(recorder, store, FAILED_FIRST, ValueError("wrong again"))
    assert recorder.stop_all()
    with pytest.raises(ConfigError, match=r"^none of the first 5 trials could be trained; the last said: wrong again$"):
        recorder.raise_what_failed()


def test_one_trial_that_worked_keeps_a_search_going(recorder: Recorder, store: Store) -> None:
    looked(recorder, tuned(store, 0, 1))
    for number in range(1, FAILED_FIRST + 3):
        failed(recorder, store, number, ValueError("wrong"))
    assert not recorder.stop_all()
    recorder.raise_what_failed()


def test_the_word_of_a_trial_that_failed_at_once_is_no_work(recorder: Recorder, store: Store) -> None:
    trial = tuned(store, 0, 1)
    trial.last_result[POSITION] = 0
    looked(recorder, trial)
    assert not recorder.worked


def test_a_signal_ends_all_trials_and_records_none_as_ended(recorder: Recorder, store: Store) -> None:
    assert not recorder.stop_all()
    recorder.signals.number = 15
    assert recorder.stop_all()
    for number, looks in enumerate((0, 2)):
        recorder.on_trial_complete(1, [], tuned(store, number, looks))
        assert end_of(store, number) is None


def test_a_search_out_of_time_ends_all_trials_and_says_why(
    recorder: Recorder, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.left_s, recorder.began = 10.0, 100.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 105.0))
    assert not recorder.stop_all()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 110.5))
    assert recorder.stop_all()
    for number, looks in enumerate((2, 4)):
        recorder.on_trial_complete(1, [], tuned(store, number, looks))
    assert end_of(store, 0) == TrialEnd(status="stopped", problem=OUT_OF_TIME)
    assert end_of(store, 1) == TrialEnd(status="finished")


def test_tune_gets_the_same_one_however_it_copies_it_and_keeps_nothing_of_it(recorder: Recorder) -> None:
    assert copy.deepcopy([recorder])[0] is recorder
    assert pickle.loads(pickle.dumps(recorder)) == ""


def test_what_a_person_has_to_put_right_is_not_tried_again(recorder: Recorder, store: Store) -> None:
    failed(recorder, store, 0, RayTaskError("run_trial", "Traceback", StoreError("access denied")))
    assert (end_of(store, 0) or TrialEnd(status="stopped")).problem == "access denied"
