"""f-AnoGAN: its losses against the paper's formulas, and a small run that learns what is normal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from gan_core.anomalies import by_encoder
from gan_core.bundle import load_generator
from gan_core.config import experiment_from
from gan_core.errors import ConfigError
from gan_core.metrics.detection import roc_auc
from gan_core.models.anogan import Encoder, FeatureJudge
from gan_core.models.dcgan import DcganDiscriminator
from gan_core.options.fanogan import FanoganOptions
from gan_core.recipes.draw import Draw
from gan_core.recipes.fanogan import ENCODER, PUBLISHED, Fanogan
from gan_core.recipes.recipe import DataSpec
from gan_core.store import Store
from tests.anomalies import BEGUN, LEARNT, NORMAL, data_in, one_digit, prepared, trained
from tests.artefacts import in_fresh_process
from tests.train.runs import RUN, curves, equal, last_state, stop_at

SHAPE = (1, 8, 8)
DRAW = Draw(0, 0, 2, slice(0, 2), torch.device("cpu"))


def recipe(**options: Any) -> Fanogan:
    return Fanogan(FanoganOptions.model_validate({"width": 4, "latent": 3, **options}), DataSpec(SHAPE, 10))


def halved(z: Tensor) -> Tensor:
    return z / 2


def sums(images: Tensor, label: Tensor | None = None, features: bool = False) -> Tensor:
    """A judge with two features of an image, its sum and twice that."""
    total = images.flatten(1).sum(1)
    return torch.stack([total, 2 * total], dim=1) if features else total


@pytest.mark.parametrize("kappa", [0.0, 1.0, 3.0])
def test_the_encoder_descends_the_distance_of_pixels_and_of_features(kappa: float) -> None:
    """With E(x) = x and G(z) = z / 2: x − G(E(x)) = x / 2."""
    image = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    nets = {"generator": halved, "encoder": lambda images: images, "discriminator": sums}
    found = recipe(feature_weight=kappa).loss(ENCODER, nets, {"image": image}, DRAW)
    total = image.flatten(1).sum(1)
    pixels, features = (image / 2).square().flatten(1).mean(1), ((total / 2) ** 2 + total**2) / 2
    assert torch.allclose(found.per_example, pixels + kappa * features)
    assert torch.allclose(found.scalars["loss/encoder_features"], features)


def test_features_are_what_the_verdict_is_read_off() -> None:
    torch.manual_seed(0)
    judge = DcganDiscriminator(SHAPE, 4)
    both, images = FeatureJudge(judge), torch.rand(2, *SHAPE)
    last = [module for module in judge.modules() if isinstance(module, nn.Linear)][-1]
    assert torch.equal(both(images), judge(images))
    assert torch.allclose(last(both(images, features=True)).flatten(), judge(images))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 20), (1, 5, 7), (2, 64, 64)])
def test_an_encoder_takes_images_of_any_size(shape: tuple[int, int, int]) -> None:
    assert Encoder(shape, 6, 2)(torch.zeros(3, *shape)).shape == (3, 6)


@pytest.mark.parametrize(("options", "said"), [
    ({"conditional": True}, r"model\.conditional=true.*model\.conditional=false works"),
    ({"discriminators": 2}, r"model\.discriminators=2.*model\.discriminators=1 works"),
    ({"generator": {"norm": "batch"}}, r"model\.generator\.norm=batch.*model\.generator\.norm=layer works"),
    ({"discriminator": {"norm": "batch"}, "penalties": {"gradient": None, "clip": 0.01}},
     r"model\.discriminator\.norm=batch.*model\.discriminator\.norm=layer works"),
    ({"generator": {"family": "biggan"}}, r"model\.generator\.norm=batch"),
])
def test_what_cannot_be_inverted_is_refused_with_what_works(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        experiment_from({"name": "a", "data": {"source": "digits"}, "model": {"recipe": "fanogan", **options}})


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return prepared(one_digit(), tmp_path_factory.mktemp("normal"))


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory, digits: Store) -> Store:
    store = Store(tmp_path_factory.mktemp("learnt"))
    assert trained(one_digit(LEARNT), digits, store)
    return store


def auc(store: Store, digits: Store) -> float:
    """Of the run in one store on the test digits in another."""
    test = data_in(digits).split("test")
    score = by_encoder(load_generator(store.uri(RUN)).at(torch.float32), test.gather(np.arange(len(test)))).score
    abnormal = np.asarray(test.labels) != NORMAL
    return roc_auc(score[abnormal], score[~abnormal])


def test_what_it_never_saw_scores_higher_once_it_has_learnt_what_is_normal(
    tmp_path: Path, digits: Store, learnt: Store
) -> None:
    begun = Store(tmp_path)
    assert trained(one_digit(BEGUN), digits, begun)
    assert auc(learnt, digits) > auc(begun, digits) + 0.3  # 0.88 against 0.35
    assert auc(learnt, digits) > 0.8
    rows = [json.loads(line) for line in curves(learnt).splitlines()]
    assert rows[-1]["loss/encoder_pixels"] < 0.7 * rows[0]["loss/encoder_pixels"]


def test_it_is_resumed_bit_for_bit(tmp_path: Path, digits: Store) -> None:
    """Within the second step of the critic, and with averages of three networks."""
    experiment = one_digit(512, model={**one_digit().as_json()["model"], "critic_steps": 2})
    whole, parted = Store(tmp_path / "whole"), Store(tmp_path / "parted")
    assert trained(experiment, digits, whole)
    assert not trained(experiment, digits, parted, stop_at(192))
    assert trained(experiment, digits, parted)
    assert equal(last_state(parted), last_state(whole))
    assert {*last_state(whole)["averages"]} == {*PUBLISHED}


def test_the_finished_run_is_one_bundle_of_three_averaged_networks(learnt: Store) -> None:
    weights = load_file(learnt.local_path(RUN) / "generator.safetensors")
    averages = last_state(learnt)["averages"]
    assert equal(weights, {f"{name}.{key}": value for name in PUBLISHED for key, value in averages[name].items()})
    images = load_generator(learnt.uri(RUN)).sample(5, seed=3)
    assert images.shape == (5, *SHAPE)
    assert len(np.unique(images, axis=0)) == 5


def test_a_fresh_process_samples_and_scores_with_it_without_what_trains(learnt: Store) -> None:
    script = """
import sys
import numpy as np
from gan_core.anomalies import by_encoder
from gan_core.bundle import load_generator
generator = load_generator(sys.argv[1])
found = by_encoder(generator, generator.sample(3, seed=1))
assert not [name for name in sys.modules if name.startswith(("gan_core.recipes", "gan_core.train", "gan_core.losses",
                                                             "gan_core.metrics", "gan_core.data"))]
print(found.score.tolist())
"""
    generator = load_generator(learnt.uri(RUN))
    told = in_fresh_process(script, learnt.uri(RUN))
    assert json.loads(told) == pytest.approx(by_encoder(generator, generator.sample(3, seed=1)).score.tolist())
