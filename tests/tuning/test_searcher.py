"""Which settings are tried next, and what Optuna learns of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from gan_core.config import Experiment
from gan_core.store import Store
from pipelines.tuning.records import Change, TrialSettings, read_trial, trial_prefix, write
from pipelines.tuning.searcher import Listed, Recorded
from pipelines.tuning.settings import LOOKS, VALUE, tune_of
from tests.tuning.trials import HALF_LIFE, RATE, Make, searched

SEARCH, LOOKS_IN_ALL = "tune/s", 4
WIDTH, PENALTY = "model.width", "model.penalties.r1.gamma"
CONDITIONAL = {WIDTH: "choice(8, 16)", PENALTY: {"uniform": [0.1, 5], "when": {WIDTH: [16]}}, RATE: "uniform(1, 2)"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> list[optuna.Study]:
    """Those that searchers make."""
    made: list[optuna.Study] = []
    create = optuna.create_study

    def create_study(**options: Any) -> optuna.Study:
        made.append(create(**options))
        return made[-1]

    monkeypatch.setattr("pipelines.tuning.searcher.optuna.create_study", create_study)
    return made


def recorded(store: Store, experiment: Experiment) -> Recorded:
    return Recorded(store, SEARCH, experiment, tune_of(experiment), LOOKS_IN_ALL)


def suggested(searcher: Recorded, count: int) -> list[dict[str, Any]]:
    found = [searcher.suggest(f"t{number}") for number in range(count)]
    assert all(isinstance(one, dict) for one in found)
    return [one for one in found if one is not None]


def drawn(configurations: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
    return [one["params"] for one in configurations]


def look(value: float, looks: int) -> dict[str, Any]:
    return {VALUE: value, LOOKS: looks}


def test_a_suggestion_is_in_the_store_before_its_trial_starts(store: Store, experiment: Make) -> None:
    (one,) = suggested(recorded(store, searched(experiment, seed=3)), 1)
    assert (one["at"], one["number"], one["changes"]) == (trial_prefix(SEARCH, 0), 0, 0)
    known = read_trial(store, one["at"])
    assert known is not None
    assert (known.settings.params, known.settings.seed, known.settings.number) == (one["params"], 3, 0)
    assert 1e-4 <= one["params"][RATE] <= 1e-2
    assert 100 <= one["params"][HALF_LIFE] <= 1000


def test_a_random_suggestion_depends_on_the_seed_and_its_number_alone(store: Store, experiment: Make) -> None:
    search = searched(experiment, {"samples": 6})
    whole = drawn(suggested(recorded(store, search), 6))
    assert len({params[RATE] for params in whole}) == 6
    other = Store(f"{store.url}-other")
    for number in range(3):  # another search's: other values, with what they came to
        params = {RATE: 1e-3, HALF_LIFE: 200.0}
        write(other, f"{trial_prefix(SEARCH, number)}/trial.json",
              TrialSettings(number=number, params=params, seed=0, asked=params))
    again = recorded(other, search)
    for number in range(3):
        again.suggest(f"t{number}")
        again.on_trial_result(f"t{number}", look(1.0, 4))
        again.on_trial_complete(f"t{number}", look(1.0, 4))
    assert drawn([again.suggest(f"t{number}") or {} for number in range(3, 6)]) == whole[3:]
    third = Store(f"{store.url}-third")
    assert drawn(suggested(recorded(third, searched(experiment, {"seed": 1})), 4)) != whole[:4]


@pytest.mark.parametrize("kind", ["random", "optuna"])
def test_a_search_that_starts_again_gives_recorded_trials_their_settings_and_goes_on(
    store: Store, experiment: Make, kind: str
) -> None:
    search = searched(experiment, {"samples": 6, "searcher": kind, "space": CONDITIONAL})
    before = suggested(recorded(store, search), 4)
    after = suggested(recorded(store, search), 6)
    assert after[:4] == before
    assert [one["number"] for one in after] == list(range(6))
    assert [one["at"] for one in after[4:]] == [trial_prefix(SEARCH, 4), trial_prefix(SEARCH, 5)]
    assert all(params not in drawn(before) for params in drawn(after[4:]))


def test_optuna_knows_the_values_of_recorded_trials(
    store: Store, experiment: Make, studies: list[optuna.Study]
) -> None:
    search = searched(experiment, {"searcher": "optuna", "space": CONDITIONAL})
    for _ in range(2):
        suggested(recorded(store, search), 4)
    first, again = studies
    assert [trial.params for trial in again.trials] == [trial.params for trial in first.trials]


def test_a_field_whose_condition_does_not_hold_has_no_value(store: Store, experiment: Make) -> None:
    found = drawn(suggested(recorded(store, searched(experiment, {"samples": 12, "space": CONDITIONAL})), 12))
    assert {params[WIDTH] for params in found} == {8, 16}
    for params in found:
        assert params.keys() == ({WIDTH, PENALTY, RATE} if params[WIDTH] == 16 else {WIDTH, RATE})


def test_a_trial_that_took_over_another_is_given_what_it_has_now(store: Store, experiment: Make) -> None:
    search = searched(experiment)
    suggested(recorded(store, search), 1)
    params = {RATE: 5e-3, HALF_LIFE: 400.0}
    write(store, f"{trial_prefix(SEARCH, 0)}/changes/0001.json", Change(position=128, donor=1, params=params))
    (again,) = suggested(recorded(store, search), 1)
    assert (again["changes"], again["params"]) == (1, params)


def test_there_are_as_many_suggestions_as_samples(store: Store, experiment: Make) -> None:
    search = searched(experiment, {"samples": 2})
    for _ in range(2):  # the second start finds both recorded
        one = recorded(store, search)
        suggested(one, 2)
        finished: Any = one.suggest("t2")
        assert finished == Searcher.FINISHED
    assert store.names(f"{SEARCH}/trials") == ["0000", "0001"]


@pytest.mark.parametrize(("goal", "metric"), [("min", "fd_domain"), ("max", "recall_domain")])
def test_optuna_is_told_how_trials_ended(
    store: Store, experiment: Make, studies: list[optuna.Study], goal: str, metric: str
) -> None:
    search = searched(experiment, {"searcher": "optuna", "objective": {"metric": metric, "goal": goal}})
    one = recorded(store, search)
    suggested(one, 4)
    for trial, looks in (("t0", 4), ("t1", 2)):
        for count in range(1, looks + 1):
            one.on_trial_result(trial, look(10.0 - count, count))
        one.on_trial_complete(trial, look(10.0 - looks, looks))
    one.on_trial_complete("t2", error=True)
    one.on_trial_complete("t3")
    (study,) = studies
    assert study.direction.name == ("MINIMIZE" if goal == "min" else "MAXIMIZE")
    finished, stopped, lost, silent = study.trials
    assert (finished.state, finished.value) == (TrialState.COMPLETE, 6.0)
    assert finished.intermediate_values == {1: 9.0, 2: 8.0, 3: 7.0, 4: 6.0}
    assert (stopped.state, stopped.last_step, stopped.intermediate_values) == (TrialState.PRUNED, 2, {1: 9.0, 2: 8.0})
    assert {lost.state, silent.state} == {TrialState.FAIL}


@pytest.mark.parametrize(("goal", "metric", "worst"), [
    ("min", "fd_domain", math.inf), ("max", "recall_domain", -math.inf)])
def test_settings_that_fail_are_the_worst_to_optuna_however_well_they_did_before(
    store: Store, experiment: Make, studies: list[optuna.Study], goal: str, metric: str, worst: float
) -> None:
    search = searched(experiment, {"searcher": "optuna", "samples": 8, "objective": {"metric": metric, "goal": goal}})
    one = recorded(store, search)
    suggested(one, 4)
    for trial, looks in (("t0", 1), ("t1", 3)):
        for count in range(1, looks):
            one.on_trial_result(trial, look(1.0, count))
        one.on_trial_result(trial, look(worst, max(1, looks - 1)))  # in the place of its last look, where it had one
        one.on_trial_complete(trial, look(worst, max(1, looks - 1)))
    for trial in ("t2", "t3"):
        one.on_trial_complete(trial, look(2.0, 4))
    (study,) = studies
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
    assert [trial.value for trial in study.trials] == [worst, worst, 2.0, 2.0]
    assert isinstance(one.suggest("t4"), dict)


def test_a_searcher_of_listed_trials_gives_each_once() -> None:
    one = Listed([{"number": 1}, {"number": 2}], "min")
    assert [one.suggest("a"), one.suggest("b"), one.suggest("c")] == [{"number": 1}, {"number": 2}, Searcher.FINISHED]
