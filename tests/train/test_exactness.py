"""A run that is stopped after any step and gone on with ends bit for bit as one that was not, whatever is on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_core.config import Experiment, experiment_from
from gan_core.registry import RECIPES
from gan_core.store import Store
from gan_core.train.report import Command
from tests.recipes.test_two_generators import register, unregister
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


def test_the_recipes_tried_here_are_all_there_are() -> None:
    assert {*RECIPES} == {"dcgan", "cycle"}


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
