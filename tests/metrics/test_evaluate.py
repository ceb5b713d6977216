"""Every metric of digits against digits: which there are, on what terms, and what their values must be."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from pydantic import ValidationError

from gan_core.config import EvaluateConfig
from gan_core.data.shards import Shards, Split, open_shards
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.errors import DataError
from gan_core.metrics.domain import DomainNetwork, train_domain
from gan_core.metrics.evaluate import Measured, measure, requested_labels
from gan_core.store import Store


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Shards:
    store = Store(tmp_path_factory.mktemp("store"))
    write_shards(Digits(), store, "shards/digits", shard_examples=4096, key="digits")
    return open_shards(store, "shards/digits")


@pytest.fixture(scope="module")
def domain(shards) -> DomainNetwork:
    return train_domain(shards.split("train"), shards.form, shards.classes, 0)


def unlabelled(shards: Shards) -> Shards:
    return Shards({name: Split(split.parts, None) for name, split in shards.splits.items()}, shards.shape, 0)


def drawn_from_train(shards: Shards, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n training images as a perfect generator would make them, with their classes."""
    train = shards.split("train")
    return train.images[:n], train.labels[:n]


def values(measured: dict[str, Measured]) -> dict[str, float]:
    return {name: m.value for name, m in measured.items()}


@pytest.mark.parametrize("networks", [("domain", "pixels"), ("pixels", "domain"), ("domain",), ("pixels",)])
def test_the_metrics_are_exactly_those_that_the_configuration_names(shards, domain, networks):
    config = EvaluateConfig(networks=networks, samples=50)
    assert tuple(measure(shards, *drawn_from_train(shards, 50), config, domain)) == config.metric_names


def test_every_value_says_how_many_of_what_it_was_measured_with(shards, domain):
    config = EvaluateConfig(samples=100, seed=4, k=3, kid_subsets=9, kid_subset_size=40)
    measured = measure(shards, *drawn_from_train(shards, 100), config, domain)
    for name, found in measured.items():
        assert (found.n_real, found.n_fake, found.split, found.seed) == (100, 100, "test", 4)
        assert found.network == ("svc" if name == "class_agreement" else name.rpartition("_")[2])
    assert {name for name, found in measured.items() if found.k == 3} == {
        name for name in measured if name.startswith(("precision", "recall", "density", "coverage"))
    }
    assert (measured["kid_domain"].subsets, measured["kid_domain"].subset_size) == (9, 40)


def test_a_kernel_distance_of_all_samples_is_said_to_be_one_subset(shards, domain):
    found = measure(shards, *drawn_from_train(shards, 360), EvaluateConfig(), domain)["kid_domain"]
    assert (found.subsets, found.subset_size) == (1, 360)


def test_values_are_plain_finite_floats_that_json_keeps(shards, domain):
    measured = measure(shards, *drawn_from_train(shards, 360), EvaluateConfig(), domain)
    for found in measured.values():
        assert type(found.value) is float
        assert math.isfinite(found.value)
        assert Measured.model_validate(json.loads(found.model_dump_json())) == found


def test_all_of_the_split_is_compared_unless_samples_says_otherwise(shards, domain):
    config = EvaluateConfig(networks=("pixels",), split="validation")
    assert measure(shards, *drawn_from_train(shards, 180), config, domain)["recall_pixels"].n_real == 180


def test_the_split_against_itself_is_perfect(shards, domain):
    config = EvaluateConfig()
    wanted = requested_labels(shards, config)
    found = values(measure(shards, shards.split("test").images, wanted, config, domain))
    for network in ("domain", "pixels"):
        assert {found[f"{share}_{network}"] for share in ("precision", "recall", "coverage")} == {1}
        assert found[f"density_{network}"] >= 6 / 5 - 1e-12
    assert found["fd_domain"] == pytest.approx(0, abs=1e-5)
    assert found["kid_domain"] < 0  # each example meets its own copy across the sets, never within one
    assert found["class_agreement"] > 0.97


def test_training_images_score_well_and_noise_badly(shards, domain):
    config = EvaluateConfig()
    images, labels = drawn_from_train(shards, 360)
    noise = np.random.default_rng(0).integers(0, 256, images.shape, np.uint8)
    good, bad = (values(measure(shards, made, labels, config, domain)) for made in (images, noise))
    assert good["fd_domain"] < 3 < bad["fd_domain"]
    assert good["kid_domain"] < 0.1 < bad["kid_domain"]
    for share in ("precision", "recall", "coverage"):
        assert min(good[f"{share}_domain"], good[f"{share}_pixels"]) > 0.9
    for share in ("precision", "coverage"):
        assert max(bad[f"{share}_domain"], bad[f"{share}_pixels"]) < 0.3
    assert bad["class_agreement"] < 0.3 < 0.9 < good["class_agreement"]


def test_measuring_twice_gives_the_same_numbers(shards, domain):
    config = EvaluateConfig(samples=120, kid_subset_size=50)
    images, labels = drawn_from_train(shards, 120)
    assert measure(shards, images, labels, config, domain) == measure(shards, images, labels, config, domain)


def test_every_value_lies_in_its_interval_and_digits_are_enough(shards, domain):
    measured = measure(shards, *drawn_from_train(shards, 360), EvaluateConfig(), domain)
    for name, found in measured.items():
        assert found.low <= found.value <= found.high
        assert found.level == 0.95
        shares = name.startswith(("precision", "recall", "coverage", "class_agreement"))
        assert found.interval == ("wilson" if shares else "jackknife")
        assert found.warning is None
    assert measured["fd_domain"].low > 0
    assert measured["coverage_domain"].low > 0.85


def test_fewer_images_are_less_sure_and_warned_of(shards, domain):
    many, few = (measure(shards, *drawn_from_train(shards, n), EvaluateConfig(samples=n), domain) for n in (360, 60))
    for name in ("fd_domain", "kid_domain", "density_pixels", "recall_domain"):
        assert few[name].high - few[name].low > many[name].high - many[name].low
    assert "60 images are few for 64 features" in few["fd_domain"].warning
    assert "evaluate.samples=320 would do" in few["fd_domain"].warning


def test_under_twenty_images_only_shares_have_an_interval(shards, domain):
    for name, found in measure(shards, *drawn_from_train(shards, 12), EvaluateConfig(samples=12), domain).items():
        jackknifed = name.startswith(("fd", "kid", "density"))
        assert (found.low is None) == (found.interval is None) == jackknifed


def test_a_set_without_labels_has_no_class_agreement(shards):
    bare = unlabelled(shards)
    config = EvaluateConfig(samples=40)
    network = train_domain(bare.split("train"), bare.form, 0, 0)
    measured = measure(bare, drawn_from_train(shards, 40)[0], None, config, network)
    assert (*measured, "class_agreement") == config.metric_names
    assert requested_labels(bare, config) is None


def test_a_generator_that_takes_no_class_has_no_class_agreement(shards, domain):
    config = EvaluateConfig(samples=40, networks=("pixels",))
    assert "class_agreement" not in measure(shards, drawn_from_train(shards, 40)[0], None, config, domain)


def test_the_classes_to_ask_for_are_those_of_the_real_examples(shards):
    for samples in (None, 30):
        wanted = requested_labels(shards, EvaluateConfig(samples=samples))
        assert (wanted == shards.split("test").labels[:samples]).all()
        assert wanted.dtype == np.int64


def test_more_samples_than_the_split_holds_are_refused_with_one_that_works(shards, domain):
    config = EvaluateConfig(samples=500)
    with pytest.raises(DataError, match=r"360 of the 'test' split; evaluate\.samples=360 works"):
        requested_labels(shards, config)
    with pytest.raises(DataError, match=r"evaluate\.samples=360 works"):
        measure(shards, *drawn_from_train(shards, 500), config, domain)


def test_too_few_samples_for_k_neighbours_are_refused_with_advice(shards, domain):
    three = Split((shards.split("test").images[:3],), None)
    few = dataclasses.replace(shards, splits={**shards.splits, "test": three})
    with pytest.raises(DataError, match=r"evaluate\.k=2 works"):
        requested_labels(few, EvaluateConfig())


@pytest.mark.parametrize("cut", [np.s_[:39], np.s_[:, :, :7], np.s_[:, 0]])
def test_generated_images_that_do_not_match_are_refused(shards, domain, cut):
    images, labels = drawn_from_train(shards, 40)
    with pytest.raises(DataError, match=r"asks for \(40, 1, 8, 8\)"):
        measure(shards, images[cut], labels, EvaluateConfig(samples=40), domain)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_never_a_measure(value):
    with pytest.raises(ValidationError, match="finite"):
        Measured(value=value, n_real=9, n_fake=9, split="test", network="domain", seed=0)
