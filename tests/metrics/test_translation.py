"""Metrics of translation with translators whose answer is known: the perfect one, none at all, one that forgets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from gan_core.config import EvaluateConfig, Experiment, experiment_from
from gan_core.data.shards import Shards, Split, open_shards
from gan_core.errors import ConfigError, DataError
from gan_core.metrics.domain import DomainNetwork, train_domain
from gan_core.metrics.translation import A, B, Images, cycle_errors, domain_of, measure_translation
from tests.domains import PREFIX, translation, write_negatives, written


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return translation(write_negatives(tmp_path_factory.mktemp("npz") / "negatives.npz"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, experiment: Experiment) -> Shards:
    return open_shards(written(experiment, tmp_path_factory.mktemp("domains")), PREFIX)


@pytest.fixture(scope="module")
def network(shards: Shards) -> DomainNetwork:
    return train_domain(shards.split("validation"), shards.form, shards.classes, 0)


def perfect(images: Images, label: int) -> Images:
    """What was done to the digits to make the other domain, or undone."""
    turns = 1 if label == B else -1
    return np.ascontiguousarray(255 - np.rot90(images, turns, axes=(2, 3)))


def values(
    shards: Shards, network: DomainNetwork, translate: Callable[[Images, int], Images], **config: object
) -> dict[str, float]:
    settings = EvaluateConfig.model_validate(config)
    return {name: found.value for name, found in measure_translation(shards, translate, settings, network).items()}


def test_a_perfect_translation_is_like_real_images_and_keeps_every_class(
    shards: Shards, network: DomainNetwork
) -> None:
    found = values(shards, network, perfect)
    assert found["fd_domain"] == pytest.approx(0, abs=1e-5)
    assert found["coverage_pixels"] == found["precision_domain"] == 1
    assert found["cycle_error_a"] == found["cycle_error_b"] == 0
    assert found["class_agreement"] == found["agreement_real"] > 0.95
    assert found["agreement_before"] < 0.3


def test_images_left_as_they_are_come_back_whole_and_look_like_nothing_real(
    shards: Shards, network: DomainNetwork
) -> None:
    found = values(shards, network, lambda images, label: images)
    assert found["cycle_error_a"] == found["cycle_error_b"] == 0
    assert found["class_agreement"] == found["agreement_before"] < 0.3
    assert found["fd_domain"] > 10
    assert found["coverage_pixels"] < 0.1


def test_a_classifier_learns_the_other_domain_from_perfect_translations_and_not_from_none(
    shards: Shards, network: DomainNetwork
) -> None:
    found = values(shards, network, perfect, also=["adaptation"], samples=60)
    assert found["adaptation"] > 0.9 > 0.3 > found["adaptation_before"]
    none = values(shards, network, lambda images, label: images, also=["adaptation"], samples=60)
    assert none["adaptation"] == none["adaptation_before"] == found["adaptation_before"]


def test_a_translation_that_forgets_the_image_has_the_agreement_of_chance_and_a_cycle_error(
    shards: Shards, network: DomainNetwork
) -> None:
    """One real digit of the domain, whatever it is asked to translate."""
    def forgets(images: Images, label: int) -> Images:
        return np.repeat(domain_of(shards.split("train"), label, 1).images, len(images), axis=0)

    found = values(shards, network, forgets)
    assert found["class_agreement"] == pytest.approx(0.1, abs=0.05)
    assert found["cycle_error_a"] > 0.1 < found["cycle_error_b"]
    assert found["coverage_pixels"] < 0.1


@pytest.fixture(scope="module")
def larger(shards: Shards) -> Shards:
    """The same digits at 16×16: at 8×8 SSIM's window of 11 does not fit."""
    splits = {name: Split([part.repeat(2, axis=2).repeat(2, axis=3) for part in split.parts], split.labels)
              for name, split in shards.splits.items()}
    return dataclasses.replace(shards, splits=splits, shape=(1, 16, 16))


def test_images_that_come_back_whole_are_as_like_as_eight_bits_can_tell_and_dimmed_ones_less(larger: Shards) -> None:
    seen = train_domain(larger.split("validation"), larger.form, 0, 0)
    config = {"also": ["image_quality"], "networks": ["pixels"], "samples": 40}
    whole = values(larger, seen, perfect, **config)
    dimmed = values(larger, seen, lambda images, label: perfect(images, label) // 2, **config)
    assert whole["cycle_psnr_a"] == whole["cycle_psnr_b"] == pytest.approx(58.92, abs=0.01)
    assert whole["cycle_ssim_a"] == whole["cycle_ssim_b"] == pytest.approx(1)
    assert max(dimmed["cycle_psnr_a"], dimmed["cycle_psnr_b"]) < 15
    assert max(dimmed["cycle_ssim_a"], dimmed["cycle_ssim_b"]) < 0.8


def test_images_smaller_than_ssims_window_are_refused_with_advice(shards: Shards, network: DomainNetwork) -> None:
    with pytest.raises(DataError, match=r"evaluate.also=image_quality: images of 8x8 .*; leave it out"):
        values(shards, network, perfect, also=["image_quality"])


def test_every_value_lies_in_its_interval(shards: Shards, network: DomainNetwork) -> None:
    noisy = np.random.default_rng(0).integers(0, 60, (360, 1, 8, 8), np.uint8)
    found = measure_translation(shards, lambda images, label: perfect(np.maximum(images, noisy), label),
                                EvaluateConfig(), network)
    for name, figure in found.items():
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low <= figure.value <= figure.high
        assert figure.interval == ("wilson" if name.partition("_")[0] in (
            "precision", "recall", "coverage", "class", "agreement") else "jackknife")
    assert found["cycle_error_a"].low < found["cycle_error_a"].high  # type: ignore[operator]


def test_the_domain_to_go_to_is_the_one_that_is_asked_for(shards: Shards, network: DomainNetwork) -> None:
    asked = []

    def notes(images: Images, label: int) -> Images:
        asked.append((float(images.mean()) > 128, label))
        return perfect(images, label)

    values(shards, network, notes, samples=20)
    assert sorted(asked) == [(False, B), (False, B), (True, A), (True, A)]


def test_every_value_says_of_how_many_images_of_which_split_it_is(shards: Shards, network: DomainNetwork) -> None:
    config = EvaluateConfig(split="validation", samples=50, k=3)
    measured = measure_translation(shards, perfect, config, network)
    assert {*measured} == {*config.metric_names, "agreement_before", "agreement_real", "cycle_error_a", "cycle_error_b"}
    for name, found in measured.items():
        assert (found.n_real, found.split, found.seed) == (50, "validation", 0)
        assert found.n_fake == (0 if name in ("agreement_before", "agreement_real") else 50)
    assert measured["class_agreement"].network == "svc"


def test_without_known_classes_there_is_no_agreement(shards: Shards, network: DomainNetwork) -> None:
    bare = dataclasses.replace(shards, splits={
        name: type(split)(split.parts, split.labels) for name, split in shards.splits.items()})
    found = values(bare, network, perfect, samples=30)
    assert not [name for name in found if "agreement" in name]
    assert found["cycle_error_a"] == 0
    with pytest.raises(DataError, match=r"evaluate.also=adaptation needs the classes of both domains"):
        values(bare, network, perfect, samples=30, also=["adaptation"])


def test_the_images_of_a_domain_are_spread_over_the_split(shards: Shards) -> None:
    test = shards.split("test")
    whole, few = domain_of(test, B), domain_of(test, B, 36)
    assert np.array_equal(few.images, whole.images[::10])
    assert whole.classes is not None
    assert few.classes is not None
    assert np.array_equal(few.classes, whole.classes[::10])
    assert {*whole.classes.tolist()} == {*range(10)}


def test_more_samples_than_the_smaller_domain_has_are_refused(shards: Shards, network: DomainNetwork) -> None:
    with pytest.raises(DataError, match=r"360 of the smaller domain of the 'test' split; evaluate\.samples=360 works"):
        values(shards, network, perfect, samples=361)


def test_the_error_of_a_cycle_counts_black_for_white_as_one() -> None:
    black, white = np.zeros((2, 1, 4, 4), np.uint8), np.full((2, 1, 4, 4), 255, np.uint8)
    assert [cycle_errors(*pair).tolist() for pair in ((black, white), (white, black), (black, black))] == \
        [[1, 1], [1, 1], [0, 0]]
    assert cycle_errors(black, np.full_like(black, 51)) == pytest.approx(0.2)


def test_a_gate_may_ask_for_them(experiment: Experiment) -> None:
    raw = experiment.as_json()
    gate = {"cycle_error_a": {"at_most": 0.1}, "class_agreement": {"at_least": 0.5}}
    assert experiment_from(raw | {"publish": {"gate": gate}}).publish.gate["cycle_error_a"].at_most == 0.1
    with pytest.raises(ConfigError, match=r"did you mean 'cycle_error_[ab]'"):
        experiment_from(raw | {"publish": {"gate": {"cycle_error": {"at_most": 0.1}}}})
