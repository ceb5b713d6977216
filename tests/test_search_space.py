"""Experiments with drawn values, and spaces that are refused before the first trial."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import pytest

from gan_core.config import Experiment, experiment_class
from gan_core.errors import ConfigError
from gan_core.options.searched import MID_RUN, UNSEARCHABLE
from gan_core.options.tune import TuneConfig
from gan_core.registry import RECIPES
from gan_core.search_space import fields_of, refuse_unsearchable, with_values
from tests.options.test_tune import ALGORITHM, BETAS, RATE, RATES, Dice

Make = Callable[..., Experiment]
PENALTY = "model.penalties.gradient.weight"


def refusal(experiment: Make, space: dict[str, Any], **blocks: Any) -> str:
    tune = {"space": space, **blocks.pop("tune", {})}
    made = experiment(tune=tune, **blocks)
    with pytest.raises(ConfigError) as caught:
        refuse_unsearchable(made)
    return str(caught.value)


def test_values_take_the_place_of_the_experiments_own(experiment: Make) -> None:
    base = experiment(tune={"space": {RATE: RATES}})
    trial = with_values(base, {RATE: 1e-4, BETAS: [0.5, 0.9], "train.batch": 32}, images=128, seed=7)
    optimizer = trial.as_json()["model"]["generator_optimizer"]
    assert (optimizer["learning_rate"], optimizer["betas"], trial.train.batch) == (1e-4, [0.5, 0.9], 32)
    assert (trial.train.images, trial.seed, trial.tune) == (128, 7, None)
    assert with_values(trial, {}) == trial
    assert with_values(base, {}) == experiment()


def test_a_block_that_is_left_out_begins_with_a_value_in_it(experiment: Make) -> None:
    assert with_values(experiment(), {PENALTY: 3.0}).as_json()["model"]["penalties"]["gradient"]["weight"] == 3


def test_another_form_of_a_block_has_its_own_defaults(experiment: Make) -> None:
    base = experiment(model={"generator_optimizer": {"learning_rate": 5e-4}})
    same = with_values(base, {ALGORITHM: "adam"})
    assert same == base
    other = with_values(base, {RATE: 1e-3, ALGORITHM: "rmsprop"}).as_json()["model"]["generator_optimizer"]
    assert (other["algorithm"], other["learning_rate"], other["alpha"]) == ("rmsprop", 1e-3, 0.99)
    assert with_values(base, {ALGORITHM: "rmsprop"}).as_json()["model"]["generator_optimizer"]["learning_rate"] == 5e-5


def test_a_whole_block_may_be_drawn(experiment: Make) -> None:
    trial = with_values(experiment(), {"model": {"recipe": "r3gan", "width": 16}})
    assert (trial.recipe, trial.as_json()["model"]["width"]) == ("r3gan", 16)


def test_values_that_do_not_work_are_refused_with_the_trial(experiment: Make) -> None:
    with pytest.raises(ConfigError, match=r'^tiny with model.width=0: model.width: 0: .*64 works$'):
        with_values(experiment(), {"model.width": 0})


def test_every_draw_of_a_space_that_is_let_through_makes_an_experiment(experiment: Make) -> None:
    base = experiment(tune={"space": {
        RATE: RATES, ALGORITHM: "choice(adam, sgd, rmsprop)", "train.batch": "choice(32, 64)",
        BETAS: {"choice": [[0, 0.9], [0.5, 0.9]], "when": {ALGORITHM: "adam"}},
        "model.objective": "choice(hinge, wasserstein)", "model.width": "lograndint(4, 16)",
        PENALTY: {"uniform": [1, 20], "when": {"model.objective": "wasserstein"}},
        "model.discriminator": {"choice": [{"family": "mlp"}, {"family": "resnet", "attention": None}]},
    }})
    refuse_unsearchable(base)
    assert base.tune is not None
    for seed in range(30):
        drawn = base.tune.draw(Dice(seed))
        flat = with_values(base, drawn).as_json()
        assert flat["model"]["width"] == drawn["model.width"]
        assert (flat["model"]["penalties"]["gradient"] is None) == (drawn["model.objective"] == "hinge")


def test_an_experiment_without_a_search_is_told_how_to_have_one(experiment: Make) -> None:
    with pytest.raises(ConfigError, match="tiny: tune: missing; for example"):
        refuse_unsearchable(experiment())


@pytest.mark.parametrize(("name", "hint"), [
    ("model.widht", "did you mean model.width"),
    ("learning_rate", f"did you mean {RATE} or model.discriminator_optimizer.learning_rate?"),
    ("model.generator_optimizer.learning_rates", f"did you mean {RATE}"),
    ("x", "model is one"),
])
def test_a_name_that_is_no_field_is_refused_with_one_that_is(experiment: Make, name: str, hint: str) -> None:
    message = refusal(experiment, {name: RATES})
    assert message.startswith(f"tune.space.{name}: this experiment has no such field; {hint}"), message


@pytest.mark.parametrize(("name", "block"), [
    *((name, name) for name in UNSEARCHABLE),
    ("data.source", "data"), ("train.workers.max", "train.workers"), ("publish.gate", "publish"),
])
def test_what_no_trial_may_change_is_refused_with_a_reason(experiment: Make, name: str, block: str) -> None:
    assert refusal(experiment, {name: "choice(1, 2)"}) == f"tune.space.{name}: {name} {UNSEARCHABLE[block]}"


def test_training_is_not_drawn_whole(experiment: Make) -> None:
    assert "such as train.ema_half_life" in refusal(experiment, {"train": "choice(1, 2)"})


def test_all_mistakes_of_a_space_are_told_at_once(experiment: Make) -> None:
    assert len(refusal(experiment, {"seed": "randint(1, 4)", "model.widht": "randint(1, 4)"}).splitlines()) == 2


@pytest.mark.parametrize(("space", "words"), [
    ({"model.width": "randint(0, 8)"}, ["tune.space.model.width=0: model.width: 0", "64 works"]),
    ({RATE: "uniform(0.1, 5)"}, [f"tune.space.{RATE}=5.0: {RATE}: 5.0", "less than or equal to 1"]),
    ({"model.width": "uniform(8, 16)"}, ["tune.space.model.width=11.", "randint draws whole numbers"]),
    ({"model.objective": "choice(hinge, wasserstien)"}, ['tune.space.model.objective="wasserstien"']),
    ({"model.objective": "choice(hinge, wasserstein)"}, ["a critic that is Lipschitz", PENALTY.rpartition(".")[0]]),
    ({ALGORITHM: "choice(adam, rmsprop)", BETAS: {"choice": [[0, 0.9], [0.5, 0.9]]}},
     [f'tune.space.{BETAS}=[0, 0.9] with {ALGORITHM}="rmsprop"', "unknown key", f"{BETAS}.when: {{{ALGORITHM}: "]),
    ({ALGORITHM: "choice(adam, rmsprop)", BETAS: {"choice": [[0, 0.9], [0.5, 2]], "when": {ALGORITHM: "adam"}}},
     [f'tune.space.{BETAS}=[0.5, 2] with {ALGORITHM}="adam": {BETAS}.1: 2']),
    ({"train.batch": "choice(64, 1024)"}, ["tune.space.train.batch=1024", "train.images=512 is less than one batch"]),
    ({"train.batch": "choice(64, 256)"}, ["train.batch=256 is more than tune.look_every=64", "look_every=256 works"]),
    ({"model": {"choice": [{"recipe": "dcgan"}, {"recipe": "r3gam"}]}}, ["did you mean 'r3gan'?"]),
])
def test_a_value_that_makes_no_experiment_is_refused_before_any_trial(
    experiment: Make, space: dict[str, Any], words: list[str]
) -> None:
    message = refusal(experiment, space)
    assert all(word in message for word in words), message


def test_a_value_that_works_with_what_is_drawn_beside_it_is_let_through(experiment: Make) -> None:
    refuse_unsearchable(experiment(tune={"space": {
        "model.objective": "choice(hinge, wasserstein)", PENALTY: "uniform(1, 20)"}}))


@pytest.mark.parametrize(("tune", "words"), [
    ({"images": 1024}, ["tune.images=1024 is more than train.images=512", "tune.images=512 works"]),
    ({"images": 32}, ["tune.images=32 is less than train.batch=64", "tune.images=64 works"]),
    ({"look_every": 32}, ["tune.look_every=32", "train.batch=64", "tune.look_every=64 works"]),
    ({"look_every": 1024}, ["tune.look_every=1024", "512 images", "tune.look_every=64 works"]),
    ({"scheduler": "asha", "grace": 256}, ["tune.grace=256 times tune.reduction=3", "tune.grace=128 works"]),
    ({"scheduler": "hyperband", "grace": 100}, ["tune.grace=100 is at no look", "tune.grace=64 works"]),
    ({"scheduler": "asha", "look_every": 256}, ["could stop none", "tune.look_every=128 and tune.grace=128 work"]),
    ({"scheduler": "asha", "images": 128}, ["could stop none", "tune.scheduler=none works"]),
    ({"scheduler": "pbt", "perturb_every": 100}, ["tune.perturb_every=100", "tune.perturb_every=64 works"]),
    ({"scheduler": "pbt", "perturb_every": 512}, ["tune.perturb_every=512", "tune.perturb_every=256 works"]),
    ({"workers": 3}, ["tune.workers=3 cannot share train.batch=64", "tune.workers=2 works"]),
])
def test_lengths_and_workers_that_do_not_fit_are_refused(
    experiment: Make, tune: dict[str, Any], words: list[str]
) -> None:
    message = refusal(experiment, {RATE: RATES}, tune=tune)
    assert all(word in message for word in words), message


@pytest.mark.parametrize("name", ["model.width", ALGORITHM, "model.generator.norm", "train.batch", "model"])
def test_a_population_changes_nothing_that_a_checkpoint_holds(experiment: Make, name: str) -> None:
    message = refusal(experiment, {name: "choice(1, 2)"}, tune={"scheduler": "pbt"})
    assert message.startswith(f"tune.space.{name}: tune.scheduler=pbt changes values in the middle of a run")
    assert "tune.scheduler=asha works" in message


def test_a_population_may_change_rates_and_weights(experiment: Make) -> None:
    refuse_unsearchable(experiment(tune={"scheduler": "pbt", "space": {
        RATE: RATES, "model.penalties.r1.gamma": "loguniform(0.1, 10)", "train.ema_half_life": "uniform(100, 1000)"}}))


def test_all_that_may_change_in_the_middle_of_a_run_is_a_field_of_some_recipe() -> None:
    kinds = [experiment_class("digits", recipe) for recipe in RECIPES]
    fields = {name for kind in kinds for block in ("model", "train") for name in fields_of(kind, block)}
    assert [pattern for pattern in MID_RUN if not any(fnmatchcase(name, pattern) for name in fields)] == []
    assert [name for name in UNSEARCHABLE if name.startswith(("train.", "model.")) and name not in fields] == []


def test_editors_are_told_of_blocks_and_of_calls() -> None:
    space = TuneConfig.model_json_schema()["properties"]["space"]["additionalProperties"]["anyOf"]
    assert [form.get("type", form.get("$ref")) for form in space] == ["#/$defs/Distribution", "string"]
