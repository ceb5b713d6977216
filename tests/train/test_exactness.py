"""A run that is stopped after any step and gone on with ends bit for bit as one that was not, whatever is on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_core.config import Experiment, experiment_from
from gan_core.options.image_gan import ImageGanOptions
from gan_core.registry import RECIPES, recipe_options
from gan_core.store import Store
from gan_core.train.report import Command
from tests.clips import of_clips
from tests.domains import translation, write_negatives, written
from tests.pairs import pairs
from tests.recipes.test_two_generators import register, unregister
from tests.tones import recordings, write_tones
from tests.train.runs import RUN, Scripted, curves, equal, finished, last_state, stop_at, train

BATCH, END = 64, 512
CADENCES = {"report_every": 192, "sample_every": 256, "checkpoint_every": 320}
EVERYTHING: dict[str, Any] = {
    "sampling": "balanced", "augment": {"flip": 0.5, "shift": 2}, "ema_half_life": 100, "accumulate": 2,
}
Make = Callable[..., Experiment]


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    register()
    yield
    unregister()


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def settings(recipe: str, **train: Any) -> Experiment:
    small = {"width": 8, "latent": 8, "penalties": {"r1": {"every": 3}}}
    model = {"recipe": recipe} | (small if recipe == "dcgan" else {})
    return experiment_from({"name": "tiny", "data": {"source": "digits"}, "model": model,
                            "train": {"images": END, "batch": BATCH, **CADENCES, **train}})


# Between them all optimizers, networks with a state of their own (norms, spectral norm, ADA, image pools), and settings
# that draw.  Two recipes are tried in every precision and after every step, these in one precision and after two.
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "gan": ({"discriminators": 2, "generator_optimizer": {"algorithm": "sgd", "momentum": 0.5},
             "targets": {"flipped": 0.1}, "augment": {"policy": ["translation", "cutout"]}}, "bfloat16"),
    "wgan": ({"critic_steps": 2, "conditional": True, "wrong_labels": 0.2}, "float32"),
    "wgan_gp": ({"critic_steps": 2, "penalties": {"consistency": {"shift": 1}, "zero_centred": {}},
                 "instance_noise": {"std": 0.2, "until": 400}}, "bfloat16"),
    "dragan": ({"discriminator_optimizer": {"algorithm": "adamw", "fall": {"shape": "cosine", "after": 100,
                                                                          "until": 400}}}, "float32"),
    "acgan": ({"augment": {"method": "ada", "start": 0.3, "images": 2_000}}, "bfloat16"),
    "sngan": ({"critic_steps": 2}, "float32"),
    "biggan": ({"latent": 8, "generator": {"checkpointing": True}}, "bfloat16"),
    "r3gan": ({"penalties": {"r1": {"every": 2}, "r2": {"every": 3}}}, "float32"),
    "cyclegan": ({}, "bfloat16"),
    "pix2pix": ({"width": 4}, "float32"),
    "cut": ({"features": 16}, "bfloat16"),
    "fanogan": ({"critic_steps": 2}, "float32"),
    "mocogan": ({}, "bfloat16"),
    "wavegan": ({"critic_steps": 2, "conditional": True, "instance_noise": {"std": 0.1, "until": 400}}, "bfloat16"),
}
UNPAIRED = ("cyclegan", "cut")
ELSEWHERE = {"text_wgan_gp", "text_gumbel"}  # in tests/recipes/test_text.py
ALIKE = {  # to one that is tried: the same class with networks of the same family
    "lsgan": "wgan", "sagan": "sngan",
    "dcgan_original": "dcgan",  # whose networks make no images of 8 pixels; they have the same layers
}


def test_every_recipe_is_tried_here_or_is_like_one_that_is() -> None:
    tried = {"dcgan", "cycle", *OTHERS}
    assert {*RECIPES} == tried | {*ALIKE} | ELSEWHERE
    for name, other in ALIKE.items():
        assert other in tried
        assert RECIPES.get(name) is RECIPES.get(other)
        if name != "dcgan_original":
            assert recipe_options(name)().families == recipe_options(other)().families


def other_experiment(recipe: str, folder: Path) -> Experiment:
    model, precision = OTHERS[recipe]
    settings_of_train = {"images": END, "batch": BATCH, **CADENCES, "precision": precision, "ema_half_life": 100,
                         "ema_ramp_up": 0.5}
    if recipe in UNPAIRED:
        return translation(write_negatives(folder / "negatives.npz"), model={"recipe": recipe, **model},
                           train=settings_of_train)
    if recipe == "pix2pix":
        return pairs(model=model, train=settings_of_train)
    if recipe == "mocogan":
        return of_clips(model=model, train=settings_of_train)
    if recipe == "wavegan":
        return recordings(write_tones(folder / "tones"), model=model, train=settings_of_train)
    small = {"width": 4, "latent": 6} if issubclass(recipe_options(recipe), ImageGanOptions) else {}
    return experiment_from({"name": "tiny", "data": {"source": "digits"}, "train": settings_of_train,
                            "model": {"recipe": recipe, **small, **model}})


@pytest.fixture(scope="module", params=OTHERS)
def other(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, digits_store: Store
) -> tuple[Experiment, Store, Store]:
    """An experiment, the store with its data, and one with a run of it that was not stopped."""
    folder = tmp_path_factory.mktemp(request.param)
    experiment = other_experiment(request.param, folder)
    plain = experiment.source == "digits" and not experiment.prepare.transforms
    data = digits_store if plain else written(experiment, folder / "data")
    whole = Store(folder / "whole")
    assert train(whole, data, experiment)
    return experiment, data, whole


@pytest.mark.parametrize("stop", [192, 320])
def test_so_does_a_run_of_every_other_recipe(stop: int, tmp_path: Path, other: tuple[Experiment, Store, Store]) -> None:
    experiment, data, whole = other
    store = Store(tmp_path)
    assert not train(store, data, experiment, stop_at(stop))
    assert last_state(store)["position"] == stop
    torch.manual_seed(stop)
    assert train(store, data, experiment)
    assert_same(store, whole)


@pytest.fixture(scope="module", params=["float32", "bfloat16", "float16"])
def precision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["dcgan", "cycle"])
def experiment_of(request: pytest.FixtureRequest, precision: str) -> Experiment:
    return settings(request.param, precision=precision, **EVERYTHING)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, digits_store: Store, experiment_of: Experiment) -> Store:
    store = Store(tmp_path_factory.mktemp("whole"))
    assert train(store, digits_store, experiment_of)
    return store


@pytest.mark.parametrize("stop", range(BATCH, END, BATCH))
def test_with_everything_on_a_resume_after_any_step_repeats_the_run_bit_for_bit(
    stop: int, tmp_path: Path, digits_store: Store, experiment_of: Experiment, whole: Store
) -> None:
    store = Store(tmp_path)
    assert not train(store, digits_store, experiment_of, stop_at(stop))
    assert last_state(store)["position"] == stop
    torch.manual_seed(stop)  # no state of torch's own may matter
    assert train(store, digits_store, experiment_of)
    assert_same(store, whole)


def test_other_checkpoints_change_nothing(
    tmp_path: Path, digits_store: Store, experiment_of: Experiment, whole: Store
) -> None:
    raw = experiment_of.as_json()
    often = experiment_from(raw | {"train": raw["train"] | {"checkpoint_every": BATCH}})
    store = Store(tmp_path)
    assert train(store, digits_store, often)
    assert_same(store, whole)


def assert_same(found: Store, wanted: Store) -> None:
    """Weights, averages, optimizers, scalers, curves and what rank 0 remembers."""
    for file in ("generator.safetensors", "networks.safetensors", "generator.json"):
        assert found.read(f"{RUN}/{file}") == wanted.read(f"{RUN}/{file}"), file
    assert curves(found) == curves(wanted)
    assert equal(last_state(found), last_state(wanted))
    assert finished(found).digest == finished(wanted).digest


def test_rows_and_samples_come_at_their_cadence(whole: Store) -> None:
    assert whole.names(f"{RUN}/samples") == ["000000000256.png", "000000000512.png"]
    positions = [row["position"] for row in last_state(whole)["recent"]]
    assert positions == [192, 256, 384, 512]


def test_a_command_is_followed_at_the_end_of_the_step_in_which_it_was_given(
    tmp_path: Path, digits_store: Store
) -> None:
    reporter = Scripted({64: Command.CHECKPOINT, 128: Command.STOP})
    assert not train(Store(tmp_path), digits_store, settings("dcgan"), reporter)
    assert [position for position, _ in reporter.saved] == [64, 128]
    assert reporter.rows == []


@pytest.mark.system
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of torch's own parts
def test_a_compiled_run_is_resumed_bit_for_bit(tmp_path: Path, digits_store: Store) -> None:
    experiment = settings("dcgan", compile=True, precision="float32", images=256)
    whole, parted = Store(tmp_path / "whole"), Store(tmp_path / "parted")
    assert train(whole, digits_store, experiment)
    assert not train(parted, digits_store, experiment, stop_at(128))
    assert train(parted, digits_store, experiment)
    assert_same(parted, whole)
