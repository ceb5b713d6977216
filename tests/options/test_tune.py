"""The `tune:` block: what may be drawn and sought, and what is refused with a value that works."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import yaml

from gan_core.config import EvaluateConfig, Experiment, TrainConfig, TuneConfig, experiment_from
from gan_core.errors import ConfigError
from gan_core.options.objective import BETTER, WATCHED, Objective
from gan_core.options.searched import MID_RUN, UNSEARCHABLE, may_change_mid_run
from pipelines.keys import STAGES, settings

Make = Callable[..., Experiment]
RATE, ALGORITHM, BETAS = (f"model.generator_optimizer.{name}" for name in ("learning_rate", "algorithm", "betas"))
RATES, ALGORITHMS = "loguniform(1e-5, 1e-3)", "choice(adam, sgd)"


class Dice:
    """Asked like an optuna.Trial: values drawn at random, and a record of the questions."""

    def __init__(self, seed: int = 0) -> None:
        self.random, self.asked = random.Random(seed), dict[str, tuple[Any, ...]]()

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.asked[name] = (low, high, log)
        return self.random.uniform(low, high)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.asked[name] = (low, high, log)
        return self.random.randint(low, high)

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        assert all(isinstance(choice, str) for choice in choices), "optuna takes scalars only"
        self.asked[name] = tuple(choices)
        return self.random.choice(choices)


def tuned(experiment: Make, **tune: Any) -> TuneConfig:
    found = experiment(tune={"space": {RATE: RATES}} | tune).tune
    assert found is not None
    return found


def refusal(experiment: Make, **tune: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        tuned(experiment, **tune)
    message = str(caught.value)
    assert message.count("\n") == 0
    assert message.startswith("experiment: tune"), message
    return message


def test_an_experiment_searches_nothing_unless_it_is_told_to(experiment: Make) -> None:
    assert experiment().tune is None
    assert experiment().as_json()["tune"] is None


def test_a_search_is_in_no_stage_key(experiment: Make) -> None:
    assert all(settings(experiment(), stage) == settings(experiment(tune={"space": {RATE: RATES}}), stage)
               for stage in STAGES)


@pytest.mark.parametrize(("written", "asked"), [
    ("{loguniform: [1e-5, 1e-3]}", (1e-5, 1e-3, True)),  # YAML 1.1 reads both numbers as text
    ("loguniform(1e-5, 1e-3)", (1e-5, 1e-3, True)),
    ("uniform(0.5,2)", (0.5, 2.0, False)),
    ("randint(1, 5)", (1, 5, False)),
    ("{lograndint: [8, 64]}", (8, 64, True)),
    ("choice(16, 3e1)", ("16", "30.0")),
    ("{choice: [adam, true, null]}", ('"adam"', "true", "null")),
])
def test_blocks_and_calls_ask_for_the_same(experiment: Make, written: str, asked: tuple[Any, ...]) -> None:
    dice = Dice()
    drawn = tuned(experiment, space={RATE: yaml.safe_load(written)}).draw(dice)
    assert dice.asked == {RATE: asked}
    assert drawn.keys() == {RATE}


def test_choices_may_be_lists_and_blocks(experiment: Make) -> None:
    choices = [[0.5, 0.999], {"algorithm": "sgd", "learning_rate": 0.1}]
    tune = tuned(experiment, space={RATE: {"choice": choices}})
    assert {json.dumps(tune.draw(Dice(seed))[RATE]) for seed in range(20)} == {json.dumps(one) for one in choices}


def test_a_search_reads_back_from_its_json(experiment: Make) -> None:
    betas = {"choice": [[0, 0.9], [0.5, 0.9]], "when": {ALGORITHM: "adam"}}
    first = experiment(tune={"space": {RATE: RATES, BETAS: betas, ALGORITHM: ALGORITHMS}, "time_budget": "6h"})
    assert experiment_from(json.loads(json.dumps(first.as_json()))) == first
    assert first.as_json()["tune"]["space"][RATE] == {"loguniform": [1e-5, 1e-3]}


def test_a_field_whose_condition_does_not_hold_is_not_drawn(experiment: Make) -> None:
    weight, one_sided = "model.penalties.gradient.weight", "model.penalties.gradient.one_sided"
    tune = tuned(experiment, space={
        one_sided: {"choice": [True, False], "when": {weight: [1]}},
        weight: {"choice": [1, 10], "when": {"model.objective": "wasserstein"}},
        "model.objective": "choice(hinge, wasserstein)",
    })
    drawn = [tune.draw(Dice(seed)) for seed in range(40)]
    for values in drawn:
        assert (weight in values) == (values["model.objective"] == "wasserstein")
        assert (one_sided in values) == (values.get(weight) == 1)
    assert {len(values) for values in drawn} == {1, 2, 3}


@pytest.mark.parametrize(("distribution", "words"), [
    ("uniform(5, 1)", ["uniform: [5.0, 1.0] is empty", "uniform: [1.0, 5.0] works"]),
    ("randint(5, 5)", ["randint: [5, 5] is empty", "works"]),
    ("loguniform(0, 1)", ["begins at 0.0, which has no logarithm", "works"]),
    ("lograndint(-3, 8)", ["begins at -3, which has no logarithm", "works"]),
    ({"uniform": [0, float("inf")]}, ["inf", "finite"]),
    ({"uniform": [float("nan"), 1]}, ["nan", "finite"]),
    ({"choice": [float("nan"), 1]}, ["NaN", "no number"]),
    ({"choice": []}, ["[] leaves nothing to choose", "works"]),
    ("choice(16)", ["[16] leaves nothing to choose", "works"]),
    ("choice(8, 16, 8)", ["names 8 twice"]),
    ("choise(8, 16)", ["'choise(8, 16)' is no distribution", "did you mean choice?"]),
    ("choice(8, {)", ["no list of YAML values"]),
    ("8", ["'8' is no distribution", "randint(1, 5)"]),
    (8, ["8 is no distribution", "loguniform"]),
    ({"loguniformm": [1, 2]}, ["loguniformm: unknown key", "did you mean 'loguniform'?"]),
    ({"uniform": [1]}, ["uniform.1", "works"]),
    ({"randint": [0.5, 3]}, ["randint.0: 0.5", "[1, 5] works"]),
    ({}, ["is no distribution", "one of uniform, loguniform"]),
    ({"uniform": [1, 2], "choice": [1, 2]}, ["uniform and choice at once"]),
])
def test_what_nothing_can_be_drawn_from_is_refused(experiment: Make, distribution: Any, words: list[str]) -> None:
    message = refusal(experiment, space={RATE: distribution})
    assert f"tune.space.{RATE}" in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize(("space", "words"), [
    ({}, ["tune.space", "works"]),
    ({BETAS: {"choice": [1, 2], "when": {"model.generator_optimizer.algorthm": "adam"}}, ALGORITHM: ALGORITHMS},
     [f"tune.space.{BETAS}.when names 'model.generator_optimizer.algorthm'", f"did you mean '{ALGORITHM}'?"]),
    ({BETAS: {"choice": [1, 2], "when": {RATE: 1}}, RATE: RATES}, ["no choice but a loguniform", "choice(...) works"]),
    ({BETAS: {"choice": [1, 2], "when": {ALGORITHM: ["adamw"]}}, ALGORITHM: ALGORITHMS},
     ['="adamw" is none of its choices', '"adam", "sgd" work']),
    ({BETAS: {"choice": [1, 2], "when": {ALGORITHM: []}}, ALGORITHM: ALGORITHMS}, ["=[] is none"]),
    ({BETAS: {"choice": [1, 2], "when": {ALGORITHM: 1}}, ALGORITHM: {"choice": [1, 2], "when": {BETAS: 1}}},
     ["waits for what waits for it", BETAS, ALGORITHM]),
    ({BETAS: {"choice": [1, 2], "when": {BETAS: 1}}}, ["no other field of tune.space"]),
    ({"a": {"choice": [1, 2], "when": {"b": 1, "c": 1}}, "b": {"choice": [1, 2], "when": {"c": 2}},
      "c": "choice(1, 2)"}, ["tune.space.a.when never holds", "of c "]),
    ({"model.generator_optimizer": {"choice": [{}, {"algorithm": "sgd"}]}, RATE: RATES},
     [f"tune.space.{RATE} is inside tune.space.model.generator_optimizer", "leave one of them out"]),
])
def test_spaces_and_conditions_that_cannot_hold_are_refused(
    experiment: Make, space: dict[str, Any], words: list[str]
) -> None:
    message = refusal(experiment, space=space)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(("tune", "words"), [
    ({"scheduler": "pbt", "searcher": "optuna"}, ["tune.searcher=optuna", "tune.searcher=random works"]),
    ({"scheduler": "pbt", "samples": 3}, ["tune.samples=3", "tune.samples=4 works"]),
    ({"scheduler": "pbt", "space": {BETAS: {"choice": [1, 2], "when": {ALGORITHM: "adam"}}, ALGORITHM: ALGORITHMS}},
     [f"tune.space.{BETAS}.when", "tune.scheduler=asha works"]),
    ({"scheduler": "pbt", "grace": 128}, ["tune.grace=128 is not read by tune.scheduler=pbt"]),
    ({"scheduler": "asha", "perturb_every": 128}, ["tune.perturb_every=128 is not read", "=pbt reads it"]),
    ({"scheduler": "ashaa"}, ["tune.scheduler", "'asha'", "works"]),
    ({"reduction": 1}, ["tune.reduction", "works"]),
    ({"gpus": 1.5}, ["tune.gpus=1.5", "tune.gpus=2 works"]),
    ({"gpus": 0.5, "workers": 2}, ["tune.gpus=0.5 cannot be dealt to tune.workers=2", "tune.gpus=2 works"]),
    ({"time_budget": "6 hours"}, ["tune.time_budget", "6h"]),
    ({"look_samples": 1}, ["tune.look_samples", "works"]),
    ({"sample": 3}, ["tune.sample: unknown key", "did you mean 'samples'?"]),
])
def test_schedulers_and_devices_that_cannot_work_are_refused(
    experiment: Make, tune: dict[str, Any], words: list[str]
) -> None:
    message = refusal(experiment, **tune)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(("objective", "words"), [
    ({"metric": "fd_domian"}, ["'fd_domian'", "did you mean 'fd_domain'?", "known: fd_domain, kid_domain"]),
    ({"metric": "diversty/pairwise"}, ["did you mean 'diversity/pairwise'?"]),
    ({"metric": "diversity/pairs"}, ["did you mean 'diversity/pairwise'?"]),
    ({"metric": "recall_domain"}, ["goal=min", "better when it is larger", "goal: max works"]),
    ({"metric": "fd_domain", "goal": "max"}, ["better when it is smaller", "goal: min works"]),
    ({}, ["no metric", "works"]),
    ({"metric": "fd_domain", "weighted": {"fd_domain": 1}}, ["both metric and weighted"]),
    ({"weighted": {}}, ["weighs nothing", "works"]),
    ({"weighted": {"fd_domain": 1, "recall_domian": -1}}, ["did you mean 'recall_domain'?"]),
    ({"weighted": {"fd_domain": 1, "recall_domain": 10}}, ["recall_domain is better when it is larger", ": -10 works"]),
    ({"weighted": {"fd_domain": 0}}, ["fd_domain=0 leaves it out", "fd_domain: 1.0 works"]),
    ({"weighted": {"fd_domain": float("inf")}}, ["fd_domain", "finite"]),
    ({"weighted": {"fd_domain": 1}, "goal": "max"}, ["goal=max: a weighted sum is minimised"]),
])
def test_objectives_that_cannot_be_sought_are_refused(
    experiment: Make, objective: dict[str, Any], words: list[str]
) -> None:
    message = refusal(experiment, objective=objective)
    assert "tune.objective" in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("metric", ["loss/generator", "my_recipes/own", *WATCHED])
def test_a_recipes_own_curves_may_be_sought(experiment: Make, metric: str) -> None:
    goal = BETTER.get(metric, "min")
    assert tuned(experiment, objective={"metric": metric, "goal": goal}).objective.names == (metric,)


def test_an_objective_is_one_number_or_none() -> None:
    one = Objective(metric="recall_domain", goal="max")
    both = Objective(weighted={"fd_domain": 1.0, "recall_domain": -10.0})
    row = {"fd_domain": 4.0, "recall_domain": 0.5}
    assert (one.names, one.value(row)) == (("recall_domain",), 0.5)
    assert (both.names, both.goal, both.value(row)) == (("fd_domain", "recall_domain"), "min", -1.0)
    assert both.value({"fd_domain": 4.0}) is None
    assert both.value(row | {"fd_domain": math.inf}) is None


def test_the_metrics_of_an_objective_have_the_names_of_evaluate() -> None:
    assert set(BETTER) <= {*EvaluateConfig().metric_names, *WATCHED}


@pytest.mark.parametrize(("tune", "lengths"), [
    ({}, (102_400, 12_800, 12_800, 25_600)),
    ({"images": 25_600}, (25_600, 3_200, 3_200, 6_400)),
    ({"images": 1_000}, (1_000, 128, 128, 256)),  # whole batches
    ({"images": 200}, (200, 128, 128, 256)),  # one at least
    ({"scheduler": "asha", "look_every": 2_560, "grace": 5_120}, (102_400, 2_560, 5_120, 5_120)),
    ({"scheduler": "pbt", "look_every": 2_560, "perturb_every": 10_240}, (102_400, 2_560, 2_560, 10_240)),
])
def test_lengths_that_are_left_out_follow_from_the_others(
    experiment: Make, tune: dict[str, Any], lengths: tuple[int, ...]
) -> None:
    found = tuned(experiment, **tune).lengths(102_400, 128)
    assert (found.images, found.look_every, found.grace, found.perturb_every) == lengths


def test_no_cadence_and_no_worker_is_searched() -> None:
    assert {f"train.{name}" for name in TrainConfig.NOT_IN_KEY} <= UNSEARCHABLE.keys()


@pytest.mark.parametrize(("name", "may"), [
    (RATE, True), (BETAS, True), ("model.penalties.r1.gamma", True), ("train.ema_half_life", True),
    ("model.penalties.generator_weights.orthogonal", True), ("model.width", False), (ALGORITHM, False),
    ("model.generator.norm", False), ("model.penalties.r1.every", False), ("train.batch", False), ("model", False),
    ("model.generator_optimizer", False), ("model.augment.method", False),
])
def test_numbers_of_losses_and_optimizers_may_change_in_the_middle_of_a_run(name: str, may: bool) -> None:
    assert may_change_mid_run(name) == may
    assert not set(MID_RUN) & UNSEARCHABLE.keys()
