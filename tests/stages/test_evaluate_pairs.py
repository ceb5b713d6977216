"""Evaluation of a generator that makes one image of a pair from the other, and of one that translates one way."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gan_core.bundle import load_generator
from gan_core.config import Experiment
from gan_core.data.shards import open_shards
from gan_core.errors import ConfigError
from gan_core.metrics.pairs import errors
from gan_core.metrics.translation import domain_of
from gan_core.pictures import GAP, pictured
from gan_core.recipes.recipe import DataSpec, build_recipe
from gan_core.store import Store
from gan_core.train.watch import Watch
from pipelines.champion_scores import unfit
from pipelines.handles import Shards, Trained
from pipelines.keys import features_key
from pipelines.stages.evaluate import evaluate
from pipelines.stages.train import train as train_stage
from tests.domains import PREFIX, translation, write_negatives, written
from tests.pairs import pairs
from tests.stages.test_evaluate import handle
from tests.train.runs import RUN, train

FEW = {"train": {"images": 64, "batch": 32}, "evaluate": {"samples": 60, "networks": ["domain", "pixels"]}}


def evaluated(store: Store, experiment: Experiment) -> dict[str, Any]:
    evaluate(store, experiment, handle(Shards, store, PREFIX), handle(Trained, store, RUN), key="e", prefix="scores/e",
             features="f" * 64)
    metrics: dict[str, Any] = json.loads(store.read("scores/e/metrics.json"))
    return metrics


def rows_of(store: Store, count: int) -> list[Any]:
    """The first picture of each row of samples.png."""
    picture = Image.open(io.BytesIO(store.read("scores/e/samples.png")))
    factor = picture.width // (10 * (8 + GAP) + GAP)
    assert picture.height == factor * (count * 9 + 1)
    sheet = np.asarray(picture)[::factor, ::factor]
    return [sheet[1 + 9 * row : 9 + 9 * row, 1:9] for row in range(count)]


@pytest.fixture(scope="module", params=["a2b", "b2a"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Experiment]:
    """Pairs of a map of two classes and a digit, and a generator that has hardly learned."""
    model = {"classes_in_input": 2} if request.param == "a2b" else {}
    experiment = pairs({"direction": request.param, **model}, "levels", **FEW)
    store = written(experiment, tmp_path_factory.mktemp(request.param))
    assert train(store, store, experiment)
    return store, experiment


@pytest.mark.slow
def test_what_is_made_is_compared_with_the_other_image_of_held_out_pairs(trained: tuple[Store, Experiment]) -> None:
    store, experiment = trained
    generator, test = load_generator(store.uri(RUN)), open_shards(store, PREFIX).split("test")
    given = test.of(generator.given).gather(np.arange(60))
    wanted = test.of(experiment.target or "").gather(np.arange(60))
    metrics = evaluated(store, experiment)
    made = generator.sample(60, images=given)
    assert metrics["pair_l1"]["value"] == pytest.approx(errors(made, wanted).mean())
    assert ("pair_l1_before" in metrics) == (generator.given == "image_b")  # a map of classes is no picture
    assert {"fd_domain", "coverage_pixels", "class_agreement", "pair_psnr"} <= {*metrics}
    pixels = json.loads(store.read("scores/e/report.json"))["metrics"]["coverage_pixels"]
    assert pixels["n_real"] == 60
    n = len(test)
    first = np.arange(40) * n // 40
    found = rows_of(store, 12)
    shown = test.of(generator.given).gather(first[:1])
    indices = next(iter(generator.spec.inputs.values())).indices
    assert np.array_equal(found[0], pictured(shown, 1, indices)[0, 0])
    assert np.array_equal(found[1], generator.sample(1, images=shown)[0, 0])
    assert np.array_equal(found[2], test.of(experiment.target or "").gather(first[:1])[0, 0])
    assert "4 times a row of input, what the generator makes of it, and the real image" in \
        store.read("scores/e/report.html").decode()


@pytest.mark.slow
def test_the_pictures_of_training_show_input_translation_and_real_image(trained: tuple[Store, Experiment]) -> None:
    import torch

    from gan_core.recipes.recipe import data_of
    from gan_core.train.state import TrainState

    store, experiment = trained
    shards = open_shards(store, PREFIX)
    recipe = build_recipe(experiment, data_of(experiment, shards))
    state = TrainState.fresh(recipe, 0, torch.device("cpu"))
    watch = Watch(recipe, shards, 0, torch.device("cpu"))
    png, found = watch.grid(state.averages), watch.measure(state.networks, state.averages)
    assert png is not None
    sheet = np.asarray(Image.open(io.BytesIO(png)))[::8, ::8]
    assert sheet.shape == (3 * 8 * 9 + 1, 8 * 9 + 1)
    held_out = shards.split("validation").of(experiment.target or "").gather(np.array([0]))
    assert np.array_equal(sheet[19:27, 1:9], held_out[0, 0])
    assert {"diversity/pairwise", "logits/train", "overfit/discriminator"} <= {*found}


def test_the_feature_network_is_one_of_the_images_that_are_made(trained: tuple[Store, Experiment]) -> None:
    target = trained[1].target
    assert (features_key(None, 0, target) == features_key(None, 0)) == (target == "image")


def test_a_champion_that_cannot_be_asked_for_these_pairs_says_why(trained: tuple[Store, Experiment]) -> None:
    store, experiment = trained
    generator, data = load_generator(store.uri(RUN)), open_shards(store, PREFIX)
    assert unfit(generator, data.of(experiment.target)) is None
    assert unfit(generator, data.of(generator.given)) == \
        f"is given {generator.given} of each pair, which is what is made here"


def test_what_is_measured_of_no_pairs_is_refused_before_training(trained: tuple[Store, Experiment]) -> None:
    store, experiment = trained
    also = experiment.evaluate.model_copy(update={"also": ("membership",)})
    asking = experiment.model_copy(update={"evaluate": also})
    with pytest.raises(ConfigError, match="is not measured of a generator that makes one image of a pair"):
        train_stage(store, asking, handle(Shards, store, PREFIX), lambda *_: None, key="t", prefix="runs/t")


@pytest.mark.slow
def test_one_way_there_is_no_cycle(tmp_path: Path) -> None:
    experiment = translation(write_negatives(tmp_path / "n.npz"), model={"recipe": "cut", "features": 8}, **FEW)
    store = written(experiment, tmp_path / "store")
    assert train(store, store, experiment)
    metrics = evaluated(store, experiment)
    assert {"fd_domain", "class_agreement", "agreement_before", "agreement_real"} <= {*metrics}
    assert not [name for name in metrics if name.startswith("cycle")]
    generator, test = load_generator(store.uri(RUN)), open_shards(store, PREFIX).split("test")
    first = domain_of(test, 0, 40).images[:1]
    found = rows_of(store, 8)
    assert np.array_equal(found[0], first[0, 0])
    assert np.array_equal(found[1], generator.sample(1, images=first)[0, 0])
    assert "4 times a row of light, and the same translated to dark" in store.read("scores/e/report.html").decode()


def test_a_set_of_no_pairs_is_not_looked_at_by_their_second_image(tmp_path: Path) -> None:
    experiment = pairs(prepare={})
    with pytest.raises(ConfigError, match="learns from pairs of images, and this data set has none"):
        build_recipe(experiment, DataSpec((1, 8, 8), 10))
