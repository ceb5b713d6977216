"""One trial without Ray: what it trains, what it tells Tune, and that an interruption does not show."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import yaml

from gan_core.config import Experiment
from gan_core.errors import StoreError
from gan_core.search_space import with_values
from gan_core.store import Store
from gan_core.train.checkpoint import STATE, RunPlace
from gan_core.train.loop import fit
from pipelines.tuning.leaderboard import leaderboard
from pipelines.tuning.records import SearchSettings, Trial, read_search, read_trial, write
from pipelines.tuning.settings import checkpoint_key, trial_experiment
from pipelines.tuning.trial import Told, run_trial
from tests.train.runs import Scripted, equal, run_main
from tests.tuning.trials import HALF_LIFE, OTHER_RATE, RATE, SHARDS, Bench, Make, searched

VALUES: dict[str, Any] = {RATE: 3.21e-3, HALF_LIFE: 321.0}
LOOKS = [128, 256, 384]


def trial_of(bench: Bench, number: int = 0) -> Trial:
    found = read_trial(bench.store, f"{bench.prefix}/trials/{number:04d}")
    assert found is not None
    return found


def state(bench: Bench, search: Experiment, number: int = 0) -> dict[str, Any]:
    """Of the newest checkpoint of a trial."""
    trial = trial_of(bench, number)
    made = trial_experiment(search, trial.params, trial.settings.seed)
    key = checkpoint_key(made, bench.digest(SHARDS))
    found = RunPlace(bench.store, trial.run_prefix, key).load_newest()
    assert found is not None
    return found[1]


def weights(state: dict[str, Any]) -> dict[str, Any]:
    return {name: state[name] for name in ("networks", "averages", "optimizers", "position")}


def test_a_sampled_learning_rate_is_the_one_that_is_trained_with(bench: Bench, experiment: Make) -> None:
    search = searched(experiment, {"images": 128})
    bench.run(search, 0, {RATE: 3.21e-3, OTHER_RATE: 4.5e-4})
    folder = f"{trial_of(bench).run_prefix}/checkpoints"
    (name,) = bench.store.names(folder)
    path = bench.store.url.removeprefix("file://")
    saved = torch.load(f"{path}/{folder}/{name}/{STATE}", weights_only=True)
    rates = {phase: [group["lr"] for group in one["param_groups"]] for phase, one in saved["optimizers"].items()}
    assert rates == {"generator": [3.21e-3], "discriminator": [4.5e-4]}


def test_a_trial_tells_of_each_look_and_ends_finished(bench: Bench, experiment: Make) -> None:
    search = searched(experiment)
    bench.run(search, 0, VALUES)
    trial = trial_of(bench)
    assert (bench.heard.positions, bench.heard.looks) == (LOOKS, [1, 2, 3])
    assert [look.position for look in trial.looks] == LOOKS
    assert [look.value for look in trial.looks] == bench.heard.values
    assert [look.metrics["fd_domain"] for look in trial.looks] == bench.heard.values
    assert [look.seconds for look in trial.looks] == sorted(look.seconds for look in trial.looks)
    assert trial.end is not None
    assert trial.end.status == "finished"
    bench.run(search, 0, VALUES)
    assert bench.heard.positions == LOOKS, "a trial that has ended does nothing when it is begun again"


def test_an_interruption_does_not_show(bench: Bench, experiment: Make) -> None:
    search = searched(experiment)
    bench.run(search, 0, VALUES)
    undisturbed, values = state(bench, search, 0), bench.heard.values
    bench.heard.told, bench.heard.ends_at = [], 256
    with pytest.raises(SystemExit):
        bench.run(search, 1, VALUES)
    assert trial_of(bench, 1).end is None
    bench.heard.told, bench.heard.ends_at = [], None
    bench.run(search, 1, VALUES, start="second")
    assert bench.heard.positions == LOOKS
    assert bench.heard.values == values
    assert [look.value for look in trial_of(bench, 1).looks] == values
    assert equal(weights(state(bench, search, 1)), weights(undisturbed))


def test_what_it_had_is_told_once_in_each_start_of_the_search(bench: Bench, experiment: Make) -> None:
    search = searched(experiment)
    for start, ends_at, told in (
        ("first", 128, [128]),
        ("first", 256, [256]),  # Tune begins it again after a loss, and knows of its looks
        ("second", 128, [128]),  # ended while it tells
        ("third", 384, [128, 256, 384]),
    ):
        bench.heard.told, bench.heard.ends_at = [], ends_at
        with pytest.raises(SystemExit):
            bench.run(search, 0, VALUES, start=start)
        assert bench.heard.positions == told


def test_a_member_of_a_population_tells_of_its_last_look_alone(bench: Bench, experiment: Make) -> None:
    search = searched(experiment)
    bench.heard.ends_at = 256
    with pytest.raises(SystemExit):
        bench.run(search, 0, VALUES)
    bench.heard.told, bench.heard.ends_at = [], None
    run_trial(bench.propose(0, VALUES), bench.setting(search, "second", last_look_only=True))
    assert bench.heard.positions == [256, 384]


@pytest.mark.parametrize(("goal", "worst"), [("min", math.inf), ("max", -math.inf)])
def test_settings_that_cannot_be_built_are_recorded_and_told_as_the_worst(
    bench: Bench, experiment: Make, goal: str, worst: float
) -> None:
    metric = {"min": "fd_domain", "max": "recall_domain"}[goal]
    search = searched(experiment, {"objective": {"metric": metric, "goal": goal}})
    bench.run(search, 0, {"model.width": 0})
    end = trial_of(bench).end
    assert end is not None
    assert end.status == "failed"
    assert "model.width" in end.problem
    assert (bench.heard.values, bench.heard.positions, bench.heard.looks) == ([worst], [0], [1])


def test_a_trial_that_diverges_is_recorded_and_told_as_the_worst(bench: Bench, experiment: Make) -> None:
    values = {"model.discriminator_optimizer.algorithm": "sgd", OTHER_RATE: 1.0, "model.penalties.r1.gamma": 1e30}
    bench.run(searched(experiment), 0, values)
    end = trial_of(bench).end
    assert end is not None
    assert end.status == "failed"
    assert "not finite" in end.problem
    assert bench.heard.values[-1] == math.inf


def test_a_metric_that_the_curves_do_not_have_is_told(bench: Bench, experiment: Make) -> None:
    search = searched(experiment, {"objective": {"weighted": {"fd_domain": 1.0, "loss/critic": 2.0}}})
    bench.run(search, 0, VALUES)
    end = trial_of(bench).end
    assert end is not None
    assert end.status == "failed"
    assert end.problem.startswith("tune.objective: the curves have no 'loss/critic'; they have ")
    assert "loss/generator" in end.problem


def test_an_objective_may_be_a_weighted_pair(bench: Bench, experiment: Make) -> None:
    pair = {"fd_domain": 1.0, "recall_domain": -10.0}
    search = searched(experiment, {"images": 128, "objective": {"weighted": pair}})
    bench.run(search, 0, VALUES)
    (look,) = trial_of(bench).looks
    assert look.value == look.metrics["fd_domain"] - 10 * look.metrics["recall_domain"]
    assert bench.heard.values == [look.value]


def test_a_look_that_is_not_finite_has_no_value_and_counts_as_the_worst(bench: Bench, experiment: Make) -> None:
    search = searched(experiment)
    bench.propose(0, VALUES)
    Told(bench.store, trial_of(bench), bench.setting(search)).look(128, {"fd_domain": math.nan, "loss/generator": 1.0})
    (look,) = trial_of(bench).looks
    assert (look.value, look.metrics) == (None, {"loss/generator": 1.0})
    assert bench.heard.values == [math.inf]


def test_what_another_try_may_mend_is_raised(
    bench: Bench, experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: Any, **__: Any) -> None:
        raise ConnectionError("no answer")

    monkeypatch.setattr("pipelines.tuning.trial.fit", silent)
    with pytest.raises(ConnectionError):
        bench.run(searched(experiment), 0, VALUES)
    assert trial_of(bench).end is None
    assert bench.heard.told == []


def test_a_trial_whose_files_are_gone_says_so(bench: Bench, experiment: Make) -> None:
    config = bench.propose(0, VALUES)
    bench.store.delete(config["at"])
    with pytest.raises(StoreError, match=r"trial\.json is gone"):
        run_trial(config, bench.setting(searched(experiment)))


def test_a_trial_is_had_again_from_its_row_alone(bench: Bench, experiment: Make) -> None:
    seed, search = 7, searched(experiment)
    write(bench.store, f"{bench.prefix}/search.json",
          SearchSettings(key="k", experiment=search.as_json(), shards=bench.digest(SHARDS)))
    bench.run(search, 0, VALUES, seed=seed)
    found = read_search(bench.store, bench.prefix)
    assert found is not None
    (row,) = leaderboard(found)
    alone = with_values(search, row.params, images=row.images, seed=row.seed)
    assert alone.train.report_every == 64, "another cadence than the trial's"
    place = RunPlace(bench.store, f"{bench.prefix}/alone", "alone")
    assert fit(alone, bench.shards, place, Scripted(), threads=1)
    again = place.load_newest()
    assert again is not None
    assert equal(weights(again[1]), weights(state(bench, search)))


def test_a_trial_is_had_again_by_the_plain_training_command(
    bench: Bench, experiment: Make, tmp_path: Any
) -> None:
    search = searched(experiment)
    bench.run(search, 0, VALUES)
    file, store = tmp_path / "alone.yaml", Store(tmp_path / "store")
    file.write_text(yaml.safe_dump(with_values(search, VALUES, images=LOOKS[-1]).as_json()))
    assert run_main(file, "--store", store.url) == 0
    (run,) = store.names("runs")
    newest = store.names(f"runs/{run}/checkpoints")[-1]
    again = torch.load(tmp_path / "store" / "runs" / run / "checkpoints" / newest / STATE, weights_only=True)
    assert equal(again["averages"], state(bench, search)["averages"])
