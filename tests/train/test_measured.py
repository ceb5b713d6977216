"""fd_domain while training goes on: what it compares, that nobody notices, and what is decided by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gan_core.config import FD_DOMAIN, EvaluateConfig, Experiment, experiment_from
from gan_core.data.attributes import attributes_of
from gan_core.data.shards import Shards, Split, open_shards
from gan_core.data.write import write_shards
from gan_core.errors import ConfigError
from gan_core.metrics.domain import DomainNetwork, train_domain
from gan_core.metrics.evaluate import measured_by
from gan_core.metrics.evidence import evidence_of
from gan_core.metrics.in_training import fd_domain_against
from gan_core.metrics.translation import A, B, domain_of
from gan_core.pictures import to_uint8
from gan_core.recipes.recipe import DataSpec, Recipe, build_recipe
from gan_core.store import Store
from gan_core.train.loop import fit
from gan_core.train.measure import Compare, Gauge, Images, Measure
from gan_core.train.report import Command
from gan_core.train.state import TrainState
from tests.conftest import TINY
from tests.domains import PREFIX, translation, write_negatives, written
from tests.stages.test_evaluate import Inked
from tests.train.runs import Scripted, curves, equal, finished, last_state, place, run_main, stop_at

CPU = torch.device("cpu")
Make = Callable[..., Experiment]
BY_FD: dict[str, Any] = {"best_by": {"metric": FD_DOMAIN}, "checkpoint_every": 128, "fd_every": 192}


@pytest.fixture(scope="module")
def shards(digits_store: Store) -> Shards:
    return open_shards(digits_store, "shards/digits")


@pytest.fixture(scope="module")
def network(shards: Shards) -> DomainNetwork:
    """Of random weights: as good as a trained one at being the same each time."""
    return train_domain(Split(shards.split("train").parts, None), shards.form, 0, 0)


@pytest.fixture(scope="module")
def compare(network: DomainNetwork) -> Compare:
    return partial(fd_domain_against, network)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def trained(
    store: Store, shards: Shards, experiment: Experiment, compare: Compare | None, reporter: Any = None
) -> bool:
    return fit(experiment, shards, place(store), reporter or Scripted(), threads=1, compare=compare)


def rows(store: Store) -> list[dict[str, Any]]:
    return [json.loads(line) for line in curves(store).splitlines()]


def looks(store: Store) -> dict[int, float]:
    """fd_domain by position."""
    return {row["position"]: row[FD_DOMAIN] for row in rows(store) if FD_DOMAIN in row}


def recipe_of(experiment: Experiment, shards: Shards) -> Recipe:
    known = attributes_of(shards, wanted=getattr(experiment.model, "attributes", ()))
    return build_recipe(experiment, DataSpec(shards.shape, shards.classes, shards.kind, known,
                                             shards.facts.get("domains", "")))


class Shown:
    """Remembers what it is to compare."""

    def __call__(self, real: Images) -> Measure:
        self.real = real
        return lambda generated: {}


# What is compared


def test_the_curve_is_evaluate_s_own_value_of_the_same_samples(
    store: Store, shards: Shards, experiment: Make, network: DomainNetwork, compare: Compare
) -> None:
    settings = experiment(train={"sample_every": 256})
    assert trained(store, shards, settings, compare)
    assert [*looks(store)] == [256, 512]
    recipe = recipe_of(settings, shards)
    state = TrainState.fresh(recipe, 0, CPU)
    state.restore(last_state(store))
    samples = Gauge(settings, recipe, shards, CPU, compare).samples({**state.networks, **state.averages})
    real = shards.split("validation").images
    assert samples.shape == real.shape
    config = EvaluateConfig(networks=("domain",), split="validation")
    by_evaluate = measured_by(evidence_of(shards, samples, None, config, network))[FD_DOMAIN].value
    assert looks(store)[512] == by_evaluate
    assert finished(store).facts["fd"] == {"split": "validation", "n_real": 180, "n_fake": 180}


def test_fewer_samples_and_more_looks_are_settings(
    store: Store, shards: Shards, experiment: Make, compare: Compare
) -> None:
    assert trained(store, shards, experiment(train={"fd_every": 128, "fd_samples": 40}), compare)
    assert [*looks(store)] == [128, 256, 384, 512]
    assert finished(store).facts["fd"]["n_fake"] == 40


def test_none_is_measured_where_none_is_wanted_or_nobody_can(
    store: Store, tmp_path: Path, shards: Shards, experiment: Make, compare: Compare
) -> None:
    other = Store(tmp_path / "other")
    assert trained(store, shards, experiment(train={"fd_samples": 0}), compare)
    assert trained(other, shards, experiment(), None)
    for one in (store, other):
        assert looks(one) == {}
        assert "fd" not in finished(one).facts


def test_samples_are_asked_for_the_classes_of_the_real_examples(shards: Shards, experiment: Make) -> None:
    settings, shown = experiment(train={"fd_samples": 30}), Shown()
    gauge = Gauge(settings, recipe_of(settings, shards), shards, CPU, shown)
    validation = shards.split("validation")
    assert np.array_equal(shown.real, validation.images[:30])
    assert gauge._inputs["label"].tolist() == np.asarray(validation.labels)[:30].tolist()


def test_samples_are_asked_for_the_attributes_of_the_real_examples(store: Store) -> None:
    write_shards(Inked(), store, PREFIX, shard_examples=4096, key="inked")
    inked = open_shards(store, PREFIX)
    settings = experiment_from(TINY | {"model": {**TINY["model"], "attributes": ["ink"]}})
    gauge = Gauge(settings, recipe_of(settings, inked), inked, CPU, Shown())
    ink, train = inked.split("validation").numbers["ink"], inked.split("train").numbers["ink"]
    expected = np.clip(ink, train.min(), train.max()).astype(np.float32)[:, None]
    assert torch.equal(gauge._inputs["label"], torch.from_numpy(expected))


def test_a_translator_s_samples_are_images_of_a_as_images_of_b(tmp_path: Path) -> None:
    settings = translation(write_negatives(tmp_path / "negatives.npz"))
    domains = open_shards(written(settings, tmp_path / "store"), PREFIX)
    recipe, shown = recipe_of(settings, domains), Shown()
    state = TrainState.fresh(recipe, 0, CPU)
    made = Gauge(settings, recipe, domains, CPU, shown).samples({**state.networks, **state.averages})
    split = domains.split("validation")
    a, b = domain_of(split, A).images, domain_of(split, B).images
    n = min(len(a), len(b))
    assert np.array_equal(shown.real, domain_of(split, B, n).images)
    images = torch.from_numpy(domain_of(split, A, n).images).float() / 127.5 - 1
    with torch.no_grad():
        there = state.averages["to_b"].eval()(images).numpy()
    assert made.shape == shown.real.shape
    assert np.abs(made.astype(int) - to_uint8(there)).max() <= 1  # 64 at a time or all at once


def test_without_a_validation_split_training_examples_stand_in_and_it_is_said(
    store: Store, shards: Shards, experiment: Make, compare: Compare
) -> None:
    heard = Scripted()
    bare = replace(shards, splits={name: split for name, split in shards.splits.items() if name != "validation"})
    assert trained(store, bare, experiment(train={"images": 64, "fd_samples": 100}), compare, heard)
    assert [note for note in heard.notes if note.startswith("fd_domain compares 100 samples with as many training ex")]
    assert finished(store).facts["fd"]["split"] == "train"


# That nobody notices


def test_training_takes_the_same_steps_with_and_without_it(
    store: Store, tmp_path: Path, shards: Shards, experiment: Make, compare: Compare
) -> None:
    other = Store(tmp_path / "other")
    settings = experiment(train={"fd_every": 64})
    assert trained(store, shards, settings, compare)
    assert trained(other, shards, settings, None)
    seen, unseen = last_state(store), last_state(other)
    for part in ("networks", "averages", "optimizers"):
        assert equal(seen[part], unseen[part]), part
    assert [{name: value for name, value in row.items() if name != FD_DOMAIN} for row in rows(store)] == rows(other)


def test_a_resumed_run_has_the_same_curves_and_the_same_best(
    store: Store, tmp_path: Path, shards: Shards, experiment: Make, compare: Compare
) -> None:
    whole = Store(tmp_path / "whole")
    assert trained(whole, shards, experiment(train=BY_FD), compare)
    assert not trained(store, shards, experiment(train=BY_FD), compare, stop_at(320))
    assert trained(store, shards, experiment(train=BY_FD), compare)
    assert curves(store) == curves(whole)
    assert finished(store).digest == finished(whole).digest
    assert finished(store).facts["best"] == finished(whole).facts["best"]


# What is decided by it


def test_the_best_checkpoint_is_the_one_whose_own_samples_are_nearest(
    store: Store, shards: Shards, experiment: Make, compare: Compare
) -> None:
    assert trained(store, shards, experiment(train=BY_FD), compare)
    found = looks(store)
    assert [*found] == [128, 192, 256, 384, 512]  # at its cadence, and at each checkpoint
    judged = {position: value for position, value in found.items() if position != 192}
    best = min(judged, key=judged.__getitem__)
    assert finished(store).facts["best"] == {"position": best, "value": judged[best]}
    assert finished(store).facts["weights_of"] == best


@pytest.mark.parametrize("goal", ["min", "max"])
def test_a_checkpoint_that_was_asked_for_is_not_judged(
    goal: str, store: Store, tmp_path: Path, shards: Shards, experiment: Make, compare: Compare
) -> None:
    plain = Store(tmp_path / "plain")
    asked = Scripted(dict.fromkeys((64, 192, 320, 448), Command.CHECKPOINT))
    settings = experiment(train=BY_FD | {"fd_every": 64, "best_by": {"metric": FD_DOMAIN, "goal": goal}})
    assert trained(store, shards, settings, compare, asked)
    assert trained(plain, shards, settings, compare)
    assert finished(store).facts["best"] == finished(plain).facts["best"]
    assert finished(store).facts["weights_of"] == finished(plain).facts["weights_of"]


def test_a_rule_ends_a_run_where_it_reaches_its_target(
    store: Store, shards: Shards, experiment: Make, compare: Compare
) -> None:
    rule = {"rule": "target", "metric": FD_DOMAIN, "value": 1e9}
    assert trained(store, shards, experiment(train={"stop_when": [rule], "fd_every": 320}), compare)
    assert finished(store).facts["position"] == 320
    assert finished(store).facts["ended"].startswith("target: fd_domain is ")


@pytest.mark.parametrize(("train", "field"), [
    ({"best_by": {"metric": FD_DOMAIN}}, "train.best_by.metric"),
    ({"stop_when": [{"rule": "collapse"}, {"rule": "target", "metric": FD_DOMAIN, "value": 1}]},
     "train.stop_when.1.metric"),
])
def test_what_decides_by_it_is_refused_where_nobody_measures_it(
    train: dict[str, Any], field: str, tmp_path: Path, shards: Shards, experiment: Make,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ConfigError, match=f"{field}=fd_domain needs a feature network"):
        trained(Store(tmp_path / "store"), shards, experiment(train=train), None)
    yaml = tmp_path / "tiny.yaml"
    yaml.write_text(json.dumps(TINY | {"train": TINY["train"] | train}))
    assert run_main(yaml, "--store", tmp_path / "alone") == 2
    assert "such as diversity/pairwise" in capsys.readouterr().err
    assert not (tmp_path / "alone" / "shards").exists()
