"""Scores of images: by a latent search, and by an encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gan_core.anomalies import Found, Search, by_encoder, by_search, features_in, has_encoder
from gan_core.bundle import Generator, load_generator
from gan_core.errors import ConfigError, DataError
from gan_core.models.anogan import AnoGan, squared
from gan_core.options.fanogan import FanoganOptions
from gan_core.recipes.fanogan import Fanogan
from gan_core.recipes.recipe import DataSpec
from gan_core.store import Store
from tests.artefacts import SHAPE, finish_run

FEW = Search(steps=60, learning_rate=0.1)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    """A generator of fresh weights, without labels."""
    store = Store(tmp_path_factory.mktemp("plain"))
    return load_generator(store.uri(finish_run(store, "plain", classes=0)))


@pytest.fixture(scope="module")
def inverted() -> Generator:
    """One with an encoder and a discriminator, of fresh weights."""
    options = FanoganOptions.model_validate({"width": 4, "latent": 5, "feature_weight": 2.0})
    _, spec = Fanogan(options, DataSpec(SHAPE, 10)).published()
    torch.manual_seed(0)
    return Generator("here", spec, spec.build().double().eval().requires_grad_(False))


def close(one: Found, other: Found) -> bool:
    return bool(np.allclose(one.score, other.score, rtol=1e-7) and np.array_equal(one.rebuilt, other.rebuilt))


def test_a_search_finds_the_images_that_the_generator_makes_and_no_others(plain: Generator) -> None:
    made = plain.sample(6, seed=5)
    noise = np.random.default_rng(0).integers(0, 256, made.shape, dtype=np.uint8)
    start = by_search(plain, made, Search(steps=1, learning_rate=1e-6))
    found = by_search(plain, made, Search(steps=200, learning_rate=0.1))
    assert found.score.mean() < 0.4 * start.score.mean()
    assert np.median(found.score) < 0.5 * by_search(plain, noise, FEW).score.min()
    assert found.features is None
    assert np.array_equal(found.score, found.residual)
    assert np.abs(found.rebuilt.astype(float) - made).mean() / 127.5 == pytest.approx(found.residual.mean(), abs=0.01)


def test_a_search_is_a_function_of_seed_number_and_image(plain: Generator) -> None:
    images = plain.sample(70, seed=1)  # more than are looked at together
    whole = by_search(plain, images, Search(steps=5))
    assert np.array_equal(by_search(plain, images, Search(steps=5)).score, whole.score)
    assert not np.allclose(by_search(plain, images, Search(steps=5, seed=1)).score, whole.score)
    some = [69, 3, 11]
    found = by_search(plain, images[some], Search(steps=5), numbers=some)
    assert np.allclose(found.score, whole.score[some], rtol=1e-9)


def test_a_search_does_not_depend_on_the_images_beside(plain: Generator) -> None:
    images = plain.sample(4, seed=2)
    others = np.concatenate([images[:1], 255 - images])
    assert by_search(plain, images, FEW).score[0] == pytest.approx(by_search(plain, others, FEW).score[0], rel=1e-6)


def test_the_score_of_a_search_weighs_pixels_and_features(inverted: Generator) -> None:
    images = inverted.sample(3, seed=1)
    found = by_search(inverted, images, Search(steps=3, weight=0.25), features_in(inverted))
    assert found.features is not None
    assert np.allclose(found.score, 0.75 * found.residual + 0.25 * found.features)


def test_the_score_of_an_encoder_is_the_formula_s(inverted: Generator) -> None:
    images = inverted.sample(3, seed=1)
    network, x = inverted.network, torch.from_numpy(images.astype(np.float64)) / 127.5 - 1
    assert isinstance(network, AnoGan)
    rebuilt = network.generator(network.encoder(x))
    pixels, features = squared(x, rebuilt), squared(network.features(x), network.features(rebuilt))
    found = by_encoder(inverted, images)
    assert found.features is not None
    assert np.allclose(found.residual, pixels)
    assert np.allclose(found.features, features)
    assert np.allclose(found.score, pixels + 2 * features)
    assert np.allclose(by_encoder(inverted, images[2:]).score, found.score[2:])


def test_what_has_no_encoder_says_so(plain: Generator, inverted: Generator) -> None:
    assert has_encoder(inverted)
    assert not has_encoder(plain)
    with pytest.raises(ConfigError, match="has no encoder"):
        by_encoder(plain, plain.sample(1))


def test_a_generator_of_labels_is_not_searched(tmp_path: Path) -> None:
    store = Store(tmp_path)
    told = load_generator(store.uri(finish_run(store, "told")))
    with pytest.raises(ConfigError, match=r"asked for more than noise.*model\.conditional=false works"):
        by_search(told, told.sample(1))


@pytest.mark.parametrize("images", [np.zeros((1, 1, 9, 8), np.uint8), np.zeros((1, *SHAPE), np.float32),
                                    np.zeros((0, *SHAPE), np.uint8)])
def test_images_of_another_kind_are_refused(plain: Generator, inverted: Generator, images: np.ndarray) -> None:
    with pytest.raises(DataError, match="are not those of"):
        by_search(plain, images)
    with pytest.raises(DataError, match="are not those of"):
        by_encoder(inverted, images)
