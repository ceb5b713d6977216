"""Population-based training: another's weights and moments, one's own settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from gan_core.config import Experiment
from gan_core.errors import WorkersFailed
from gan_core.recipes.recipe import build_recipe, data_of
from gan_core.train.checkpoint import RunPlace
from gan_core.train.state import TrainState
from pipelines.tuning import takeover
from pipelines.tuning.records import Change, Trial, read_trial, run_prefix
from pipelines.tuning.settings import checkpoint_key, trial_experiment
from pipelines.tuning.takeover import take_over
from pipelines.tuning.trial import run_trial
from tests.train.runs import equal
from tests.tuning.trials import OTHER_RATE, RATE, SHARDS, Bench, Make, searched

BETAS = "model.discriminator_optimizer.betas"
SPACE: dict[str, Any] = {RATE: "loguniform(1e-4, 1e-2)", OTHER_RATE: "loguniform(1e-4, 1e-2)",
                         BETAS: {"choice": [[0.5, 0.9], [0.1, 0.99]]}}
THEIRS: dict[str, Any] = {RATE: 1e-3, OTHER_RATE: 2e-3, BETAS: [0.5, 0.9]}
OURS: dict[str, Any] = {RATE: 5e-4, OTHER_RATE: 4e-3, BETAS: [0.1, 0.99]}
POPULATION = {"space": SPACE, "scheduler": "pbt", "perturb_every": 256}
DONOR, TAKER, AT = 0, 1, 256
ROOT = 1 / (1 + 1 / 4)  # of a discriminator whose penalty comes each fourth step


@pytest.fixture
def search(experiment: Make) -> Experiment:
    return searched(experiment, POPULATION, model={"penalties": {"r1": {"every": 4}}})


def trial(bench: Bench, number: int) -> Trial:
    found = read_trial(bench.store, f"{bench.prefix}/trials/{number:04d}")
    assert found is not None
    return found


def newest(bench: Bench, search: Experiment, number: int, params: dict[str, Any], run: str) -> tuple[str, Any]:
    """Name and state of a trial's newest checkpoint."""
    key = checkpoint_key(trial_experiment(search, params, 0), bench.digest(SHARDS))
    found = RunPlace(bench.store, run, key).load_newest()
    assert found is not None
    return found


def train_until(bench: Bench, search: Experiment, number: int, params: dict[str, Any], position: int) -> None:
    bench.heard.told, bench.heard.ends_at = [], position
    with pytest.raises(SystemExit):
        bench.run(search, number, params)
    bench.heard.told, bench.heard.ends_at = [], None


def config(bench: Bench, position: int) -> dict[str, Any]:
    """What Tune gives the trial function of one that takes over another."""
    return {**bench.propose(TAKER, THEIRS), "changes": 1, "donor": DONOR, "position": position, "params": OURS}


def test_weights_averages_and_moments_are_the_donors_and_settings_the_takers(bench: Bench, search: Experiment) -> None:
    train_until(bench, search, DONOR, THEIRS, AT)
    train_until(bench, search, TAKER, THEIRS, 128)
    take_over(bench.store, bench.prefix, search, bench.shards, bench.digest(SHARDS), trial(bench, TAKER),
              config(bench, AT))
    _, theirs = newest(bench, search, DONOR, THEIRS, trial(bench, DONOR).run_prefix)
    name, ours = newest(bench, search, TAKER, OURS, run_prefix(trial(bench, TAKER).prefix, 1))
    assert name == f"{AT:012d}-0000"
    for kept in ("networks", "averages", "position"):
        assert equal(ours[kept], theirs[kept])
    for phase, optimizer in theirs["optimizers"].items():
        assert optimizer["state"]
        assert equal(ours["optimizers"][phase]["state"], optimizer["state"])
    (generator,), (discriminator,) = (ours["optimizers"][phase]["param_groups"]
                                      for phase in ("generator", "discriminator"))
    assert (generator["lr"], generator["initial_lr"]) == (5e-4, 5e-4)
    assert (discriminator["lr"], discriminator["initial_lr"]) == (4e-3 * ROOT, 4e-3 * ROOT)
    assert tuple(discriminator["betas"]) == (0.1**ROOT, 0.99**ROOT)
    experiment = trial_experiment(search, OURS, 0)
    fresh = TrainState.fresh(build_recipe(experiment, data_of(experiment, bench.shards)), 0, torch.device("cpu"))
    for phase, optimizer in fresh.optimizers.items():
        assert equal(ours["optimizers"][phase]["param_groups"], optimizer.state_dict()["param_groups"])


def test_the_taker_goes_on_from_the_donors_position_and_forgets_what_it_was_behind(
    bench: Bench, search: Experiment
) -> None:
    train_until(bench, search, DONOR, THEIRS, 128)
    train_until(bench, search, TAKER, THEIRS, AT)
    run_trial(config(bench, 128), bench.setting(search, last_look_only=True))
    taker = trial(bench, TAKER)
    assert taker.changes == (Change(position=128, donor=DONOR, params=OURS),)
    assert taker.params == OURS
    assert [look.position for look in taker.looks] == [128, 256, 384]
    assert bench.heard.positions == [256, 384], "what it had beyond the donor was seen again, with other weights"
    _, state = newest(bench, search, TAKER, OURS, taker.run_prefix)
    assert [group["lr"] for group in state["optimizers"]["generator"]["param_groups"]] == [5e-4]
    assert taker.end is not None


@pytest.mark.parametrize(("dropped", "begins"), [([], 128), ([128], 256)])
def test_a_donor_that_is_ahead_by_now_is_taken_over_as_it_was_at_the_exchange(
    bench: Bench, search: Experiment, dropped: list[int], begins: int
) -> None:
    bench.run(search, DONOR, THEIRS)
    train_until(bench, search, TAKER, THEIRS, 128)
    for position in dropped:
        bench.store.delete(f"{trial(bench, DONOR).run_prefix}/checkpoints/{position:012d}-0001")
    run_trial(config(bench, 128), bench.setting(search, last_look_only=True))
    assert trial(bench, TAKER).changes[0].position == begins
    assert bench.heard.positions == list(range(begins + 128, 385, 128))


def test_a_takeover_that_was_done_is_not_done_again(bench: Bench, search: Experiment) -> None:
    train_until(bench, search, DONOR, THEIRS, 128)
    train_until(bench, search, TAKER, THEIRS, 128)
    bench.heard.ends_at = AT
    with pytest.raises(SystemExit):
        run_trial(config(bench, 128), bench.setting(search, last_look_only=True))
    bench.heard.told, bench.heard.ends_at = [], None
    run_trial(config(bench, 128), bench.setting(search, "second", last_look_only=True))
    assert len(trial(bench, TAKER).changes) == 1
    assert bench.heard.positions == [AT, 384]


def test_a_donor_without_a_checkpoint_leaves_the_taker_to_be_tried_again(
    bench: Bench, search: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover, "WAIT_S", 0.05)
    monkeypatch.setattr(takeover, "LOOK_S", 0.01)
    bench.propose(DONOR, THEIRS)
    with pytest.raises(WorkersFailed, match=r"^trial 0 has no checkpoint in .*/trials/0000/run to go on from$"):
        run_trial(config(bench, 128), bench.setting(search))
    taker = trial(bench, TAKER)
    assert (taker.changes, taker.end) == ((), None)
