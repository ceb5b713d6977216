"""A judge's logits and features are its networks' own; what is measured by them is high where it must be, and low."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from gan_core.config import EvaluateConfig, Experiment, experiment_from
from gan_core.data.shards import Shards, Split, open_shards
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.errors import DamagedFile, DataError
from gan_core.metrics.also import also_measured
from gan_core.metrics.domain import DomainNetwork, train_domain
from gan_core.metrics.evaluate import measured_by
from gan_core.metrics.evidence import Evidence, evidence_of
from gan_core.metrics.figure import Figure
from gan_core.metrics.judge import Judge, judge_of
from gan_core.recipes.recipe import Recipe, build_recipe, data_of
from gan_core.store import Store

FAMILIES = ("dcgan", "mlp", "resnet", "biggan", "r3gan")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    store = Store(tmp_path_factory.mktemp("store"))
    write_shards(Digits(), store, "shards/digits", shard_examples=4096, key="digits")
    return open_shards(store, "shards/digits")


@pytest.fixture(scope="module")
def domain(shards: Shards) -> DomainNetwork:
    return train_domain(shards.split("validation"), shards.form, shards.classes, 0)


def experiment(**model: Any) -> Experiment:
    return experiment_from({"name": "judged", "data": {"source": "digits"},
                            "model": {"recipe": "dcgan", "width": 16, **model}})


def weights(experiment: Experiment, shards: Shards) -> bytes:
    """As a run writes those of fresh networks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        networks = build_recipe(experiment, data_of(experiment, shards)).networks()
    return save({f"{name}.{key}": tensor for name, network in networks.items()
                 for key, tensor in network.state_dict().items()})


def fresh(shards: Shards, **model: Any) -> Judge:
    made = experiment(**model)
    return judge_of(made, shards, weights(made, shards))


def last_layer(judge: Judge) -> nn.Linear:
    return [module for module in judge.networks["discriminator"].modules() if isinstance(module, nn.Linear)][-1]


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_what_the_last_layer_makes_logits_from(shards: Shards, family: str) -> None:
    judge = fresh(shards, discriminator={"family": family}, conditional=False)
    images = shards.split("test").images[:70]
    with torch.no_grad():
        made = last_layer(judge)(torch.from_numpy(judge.features(images))).squeeze(1)
    np.testing.assert_allclose(made.numpy(), judge.logits(images), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("condition", ["projection", "embedding"])
def test_logits_are_of_images_told_their_labels_and_features_of_images_told_nothing(
    shards: Shards, condition: str
) -> None:
    judge = fresh(shards, discriminator={"family": "dcgan", "condition": condition})
    test = shards.split("test")
    images, labels = test.images[:70], np.asarray(test.labels[:70])  # type: ignore[index]
    told = judge.logits(images, labels)
    assert told.shape == (70,)
    assert (told != judge.logits(images, (labels + 1) % 10)).all()
    assert (judge.logits(images[64:], labels[64:]) == told[64:]).all()  # whatever batch they are in
    assert (judge.features(images) == judge.features(images)).all()
    assert len({*judge.logits(images[:1].repeat(10, axis=0), np.arange(10)).tolist()}) == 10


def test_attributes_are_told_as_the_data_has_them(shards: Shards) -> None:
    draw = np.random.default_rng(0)
    known = {name: Split(split.parts, None, numbers={"tilt": draw.random(len(split))}, attribute_names=["tilt"])
             for name, split in shards.splits.items()}
    tilted = dataclasses.replace(shards, splits=known, classes=0)
    judge = fresh(tilted, attributes=["tilt"])
    images = tilted.split("test").images[:5]
    low, high = (judge.logits(images, attributes=np.full((5, 1), value, np.float32)) for value in (0.1, 0.9))
    assert (low != high).all()
    assert judge.features(images).shape[0] == 5


def test_weights_of_other_networks_are_refused_with_advice(shards: Shards) -> None:
    wide = weights(experiment(width=32), shards)
    with pytest.raises(DamagedFile, match=r"networks.safetensors is not of the experiment's networks: .*size mismatch"):
        judge_of(experiment(), shards, wide)


class Own:
    """A recipe of one network that is told nothing."""

    def logits(self, nets: Mapping[str, nn.Module], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"discriminator": nets["discriminator"](batch["image"]).squeeze(1)}


class Remembers(nn.Module):
    """Higher the nearer an image is to one that it was trained on, by heart."""

    def __init__(self, images: np.ndarray) -> None:
        super().__init__()
        self.known = torch.from_numpy(images.astype(np.float32)).flatten(1) / 127.5 - 1

    def forward(self, images: Tensor) -> Tensor:
        return -torch.cdist(images.flatten(1), self.known).amin(1, keepdim=True)


def judging(network: nn.Module) -> Judge:
    return Judge(cast(Recipe, Own()), {"discriminator": network}, 0)


def of_pixels(layer: nn.Module, numbers: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(numbers, 1))


def evidence(shards: Shards, domain: DomainNetwork, also: str, judge: Judge | None) -> Evidence:
    made = np.asarray(shards.split("test").images)
    config = EvaluateConfig.model_validate({"also": [also], "networks": ["pixels"]})
    return dataclasses.replace(evidence_of(shards, made, None, config, domain), judge=judge)


def figure(shards: Shards, domain: DomainNetwork, also: str, judge: Judge) -> Figure:
    ((found, _),) = also_measured(evidence(shards, domain, also, judge)).values()
    return found


def test_a_discriminator_that_knows_the_training_set_by_heart_gives_its_members_away(
    shards: Shards, domain: DomainNetwork
) -> None:
    known = figure(shards, domain, "membership", judging(Remembers(shards.split("train").images)))
    assert known.value > 0.99
    other = figure(shards, domain, "membership", judging(of_pixels(nn.Identity(), 64)))
    assert other.low is not None
    assert other.high is not None
    assert other.low < 0.5 < other.high
    assert 0.01 < other.high - other.low < 0.2


def test_classes_are_read_off_pixels_and_not_off_their_mean(shards: Shards, domain: DomainNetwork) -> None:
    pixels = figure(shards, domain, "linear_probe", judging(of_pixels(nn.Identity(), 64)))
    mean = figure(shards, domain, "linear_probe", judging(of_pixels(nn.AdaptiveAvgPool2d(1), 1)))
    assert pixels.value > 0.9
    assert mean.value < 0.3
    assert pixels.interval == mean.interval == "wilson"


def test_figures_say_of_how_many_real_images_they_are_and_that_nothing_is_generated(
    shards: Shards, domain: DomainNetwork
) -> None:
    judge = fresh(shards)
    for also, name in (("membership", "membership_auc"), ("linear_probe", "linear_probe_discriminator")):
        found = measured_by(evidence(shards, domain, also, judge))[name]
        assert (found.n_real, found.n_fake, found.network) == (360, 0, "discriminator")
        assert found.low is not None


@pytest.mark.parametrize("also", ["membership", "linear_probe"])
def test_without_a_discriminator_there_is_nothing_to_measure(
    shards: Shards, domain: DomainNetwork, also: str
) -> None:
    with pytest.raises(DataError, match=f"evaluate.also={also} is measured of the discriminator"):
        also_measured(evidence(shards, domain, also, None))


def test_a_discriminator_without_a_last_layer_has_no_features(shards: Shards) -> None:
    with pytest.raises(DataError, match=r"leave evaluate\.also=linear_probe out"):
        judging(Remembers(shards.split("train").images[:9])).features(shards.split("test").images[:4])
