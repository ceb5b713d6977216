"""What `evaluate.also` and networks beyond the data set's own add: on digits, by the measures' own files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gan_core.config import EvaluateConfig
from gan_core.data.shards import Shards, Split, open_shards
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.errors import ConfigError, DataError
from gan_core.metrics import class_accuracy, evidence, seen
from gan_core.metrics.agreement import Classify, classifier
from gan_core.metrics.domain import DomainNetwork, train_domain
from gan_core.metrics.evaluate import measure, requested_labels
from gan_core.metrics.inception_score import inception_score
from gan_core.metrics.sliced_wasserstein import sliced_wasserstein
from gan_core.options.feature_networks import INCEPTION_CLASSES
from gan_core.store import Store

ON_DIGITS = ("sliced_wasserstein", "inception_score", "class_kl", "memorisation", "class_fd")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    store = Store(tmp_path_factory.mktemp("store"))
    write_shards(Digits(), store, "shards/digits", shard_examples=4096, key="digits")
    return open_shards(store, "shards/digits")


@pytest.fixture(scope="module")
def domain(shards: Shards) -> DomainNetwork:
    return train_domain(shards.split("train"), shards.form, shards.classes, 0)


def values(
    shards: Shards, domain: DomainNetwork, config: EvaluateConfig, images: NDArray[np.uint8]
) -> dict[str, float]:
    found = measure(shards, images, requested_labels(shards, config), config, domain)
    return {name: measured.value for name, measured in found.items()}


def of_the_same_classes(shards: Shards) -> NDArray[np.uint8]:
    """Validation and training images, one for each test image, of its class: fresh but for the training ones."""
    test, train = np.asarray(shards.split("test").labels), shards.split("train")
    known = np.asarray(train.labels)
    order = {label: iter(np.flatnonzero(known == label)) for label in range(10)}
    return train.images[[next(order[int(label)]) for label in test]]


def test_what_is_asked_for_is_measured_in_that_order(shards: Shards, domain: DomainNetwork) -> None:
    config = EvaluateConfig(also=ON_DIGITS)
    assert tuple(values(shards, domain, config, shards.split("test").images)) == config.metric_names
    assert config.also_names == ("sliced_wasserstein_domain", "sliced_wasserstein_pixels", "inception_score_domain",
                                 "class_kl", "memorisation_domain", "class_fd_domain")


def test_the_split_against_itself_differs_in_nothing_and_is_not_memorised(
    shards: Shards, domain: DomainNetwork
) -> None:
    found = values(shards, domain, EvaluateConfig(also=ON_DIGITS), shards.split("test").images)
    assert found["sliced_wasserstein_pixels"] == found["sliced_wasserstein_domain"] == 0
    assert found["class_fd_domain"] == pytest.approx(0, abs=1e-4)
    assert found["class_kl"] < 0.01  # the classifier's own mistakes
    assert abs(found["memorisation_domain"]) < 0.5
    assert 8 < found["inception_score_domain"] <= 10


def test_training_images_are_found_to_be_copies(shards: Shards, domain: DomainNetwork) -> None:
    found = values(shards, domain, EvaluateConfig(also=("memorisation",)), of_the_same_classes(shards))
    assert found["memorisation_domain"] < -3


def test_one_class_alone_has_a_low_score_and_a_high_divergence(shards: Shards, domain: DomainNetwork) -> None:
    test = shards.split("test")
    zeros = test.images[np.asarray(test.labels) == 0]
    found = values(shards, domain, EvaluateConfig(also=("inception_score", "class_kl")),
                   zeros[np.arange(len(test)) % len(zeros)])
    assert found["inception_score_domain"] < 1.5
    assert found["class_kl"] > 2


def test_measures_are_those_of_their_own_files(shards: Shards, domain: DomainNetwork) -> None:
    made, real = of_the_same_classes(shards), shards.split("test").images
    found = values(shards, domain, EvaluateConfig(also=ON_DIGITS, seed=3), made)
    flat = (images.reshape(len(images), -1) for images in (real, made))
    assert found["sliced_wasserstein_pixels"] == sliced_wasserstein(*flat, seed=3)
    assert found["inception_score_domain"] == inception_score(domain.probabilities(made), splits=3, seed=3).mean


def test_each_lies_in_its_interval_and_few_images_of_a_class_are_warned_of(
    shards: Shards, domain: DomainNetwork
) -> None:
    config = EvaluateConfig(also=ON_DIGITS)
    found = measure(shards, of_the_same_classes(shards), requested_labels(shards, config), config, domain)
    for name in config.also_names:
        figure = found[name]
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low <= figure.value <= figure.high
        assert (figure.interval, figure.level) == ("jackknife", 0.95)
    assert "images of a class are few for 64 features" in (found["class_fd_domain"].warning or "")
    assert found["memorisation_domain"].high < 0  # type: ignore[operator]


def test_the_classifier_of_pixels_is_fitted_once(
    shards: Shards, domain: DomainNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []

    def noted(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Classify:
        fitted.append(len(images))
        return classifier(images, labels)

    monkeypatch.setattr(evidence, "classifier", noted)
    found = values(shards, domain, EvaluateConfig(also=("class_kl",)), shards.split("test").images)
    assert {"class_agreement", "class_kl"} <= found.keys()
    assert fitted == [len(shards.split("train"))]


def test_what_learns_from_real_images_passed_off_as_generated_knows_real_ones(
    shards: Shards, domain: DomainNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_accuracy, "MOST", 5_000)
    config = EvaluateConfig(also=("class_accuracy",), networks=("pixels",))
    wanted, made = requested_labels(shards, config), of_the_same_classes(shards)
    assert wanted is not None
    good = measure(shards, made, wanted, config, domain)
    wrong = measure(shards, made, (wanted + 1) % 10, config, domain)
    assert min(good[name].value for name in config.also_names) > 0.9
    assert max(wrong[name].value for name in ("gan_train", "gan_test")) < 0.1
    assert wrong["gan_real"] == good["gan_real"]
    assert (good["gan_train"].network, good["gan_real"].n_fake) == ("classifier", 0)
    assert all(good[name].interval == "wilson" for name in config.also_names)


def test_one_image_again_and_again_has_no_diversity_and_the_real_ones_theirs(
    shards: Shards, domain: DomainNetwork
) -> None:
    config, real = EvaluateConfig(also=("feature_diversity",)), shards.split("test").images
    same = values(shards, domain, config, real)
    one = values(shards, domain, config, np.repeat(real[:1], len(real), axis=0))
    assert same["feature_diversity_domain"] == same["feature_diversity_real_domain"] > 1.5
    assert one["feature_diversity_domain"] == pytest.approx(0, abs=1e-6)
    assert one["feature_diversity_real_domain"] == same["feature_diversity_real_domain"]


def test_what_is_measured_of_translations_alone_is_refused(shards: Shards, domain: DomainNetwork) -> None:
    config = EvaluateConfig(also=("class_kl", "image_quality"))
    with pytest.raises(ConfigError, match=r'\["image_quality"\] is not measured .* evaluate.also=\["class_kl"\] works'):
        values(shards, domain, config, shards.split("test").images)


class Certain(nn.Module):
    """Probabilities of three classes, by how bright an image is."""

    def forward(self, images: Tensor, no_output_bias: bool = False) -> Tensor:
        level = images.mean((1, 2, 3)) / 255
        return torch.stack([level, 1 - level, 0 * level], 1)


@pytest.mark.filterwarnings("ignore:.*torch.jit.(script|trace):DeprecationWarning")
def test_where_images_are_seen_by_inception_its_classes_score_them(
    shards: Shards, domain: DomainNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "classes.pt"
    torch.jit.script(Certain()).save(str(file))  # type: ignore[no-untyped-call]
    stands_in = INCEPTION_CLASSES.model_copy(update={
        "url": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "size": None})
    monkeypatch.setattr("gan_core.metrics.also.INCEPTION_CLASSES", stands_in)
    monkeypatch.setitem(seen.NAMED, "inception", stands_in)  # type: ignore[index]
    config = EvaluateConfig(networks=("inception",), also=("inception_score",), samples=200)
    assert config.also_names == ("inception_score_domain", "inception_score_inception")
    made = of_the_same_classes(shards)[:200]
    found = measure(shards, made, None, config, domain)
    level = made.mean((1, 2, 3), dtype=np.float64) / 255
    wanted = inception_score(np.stack([level, 1 - level, 0 * level], 1), splits=2, seed=0).mean
    assert found["inception_score_inception"].value == pytest.approx(wanted, rel=1e-5)
    assert found["inception_score_inception"].sha256 == stands_in.sha256


def test_without_labels_what_needs_them_is_left_out(shards: Shards) -> None:
    bare = Shards({name: Split(split.parts, None) for name, split in shards.splits.items()}, shards.shape, 0)
    network = train_domain(bare.split("train"), bare.form, 0, 0)
    found = measure(bare, bare.split("test").images, None, EvaluateConfig(also=(*ON_DIGITS, "class_accuracy")),
                    network)
    assert {"gan_train", "inception_score_domain", "class_kl", "class_fd_domain", "class_agreement"}.isdisjoint(found)
    assert {"sliced_wasserstein_pixels", "memorisation_domain"} <= found.keys()


def test_images_that_are_too_small_for_a_measure_are_refused_with_advice(
    shards: Shards, domain: DomainNetwork
) -> None:
    with pytest.raises(DataError, match=r"evaluate.also=ms_ssim: images of 8x8 .*; leave it out"):
        values(shards, domain, EvaluateConfig(also=("ms_ssim",)), shards.split("test").images)


class Means(nn.Module):
    """Four means of an image's quarters, in the range that it is given."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(images, 2)[:, 0].flatten(1)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
def test_a_network_in_a_file_is_measured_by_and_named(shards: Shards, domain: DomainNetwork, tmp_path: Path) -> None:
    file = tmp_path / "means.pt"
    torch.jit.trace(Means(), torch.zeros(1, 3, 8, 8)).save(str(file))  # type: ignore[no-untyped-call]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    config = EvaluateConfig.model_validate({
        "networks": ["means", "random"],
        "network_files": {"means": {"url": str(file), "sha256": digest, "range": "0..1", "size": [16, 16]}}})
    real = shards.split("test").images
    found = measure(shards, real, None, config, domain)
    assert tuple(found) == config.feature_metrics
    assert found["fd_means"].value == pytest.approx(0, abs=1e-6)
    assert (found["fd_means"].sha256, found["fd_means"].resizer) == (digest, "pil-bicubic")
    assert found["fd_random"].sha256 is None
    assert measure(shards, 255 - real, None, config, domain)["fd_means"].value > 0.1


@pytest.mark.parametrize(("given", "message"), [
    ({"networks": ["inceptoin"]}, "did you mean 'inception'"),
    ({"networks": ["dino"]}, "known: domain, pixels, random, inception; others by evaluate.network_files"),
    ({"also": ["memorisation"], "split": "train"}, "evaluate.split=test works"),
    ({"also": ["class_kl", "membership"], "split": "train"}, "evaluate.also=membership .*; evaluate.split=test works"),
    ({"network_files": {"domain": {"url": "x.pt", "sha256": "0" * 64, "range": "0..1"}}}, "my-domain works"),
    ({"also": ["swd"]}, "sliced_wasserstein"),
])
def test_what_cannot_be_measured_is_refused_with_what_can(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluateConfig.model_validate(given)
