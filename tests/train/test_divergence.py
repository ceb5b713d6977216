"""What is no longer finite stops the run, or takes it back to the last good checkpoint with lower learning rates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from gan_core.config import Experiment
from gan_core.errors import Diverged
from gan_core.manifest import artefact, read_manifest
from gan_core.recipes.draw import Draw
from gan_core.recipes.image_gan import ImageGan
from gan_core.recipes.recipe import Batch, Loss, Networks
from gan_core.registry import RECIPE_OPTIONS, RECIPES
from gan_core.store import Store
from gan_core.systems.dcgan import Dcgan as DcganOptions
from tests.train.runs import RUN, Scripted, equal, finished, last_state, place, stop_at, train

LEARNING_RATE = 2e-4
ROLL_BACK = {"on_divergence": {"policy": "roll_back"}}
Make = Callable[..., Experiment]


class Exploding(ImageGan):
    """The generator's loss is infinite from position 256 on."""

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        found = super().loss(phase, nets, batch, draw)
        if phase == "discriminator" or draw.position < 256:
            return found
        return Loss(found.per_example * torch.inf, {"loss/generator": found.per_example * torch.inf})


class ExplodingOnce(Exploding):
    """As a processor miscomputes now and then."""

    left: ClassVar[int] = 0

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        if phase == "generator" and draw.position == 256 and ExplodingOnce.left:
            ExplodingOnce.left -= 1
            return super().loss(phase, nets, batch, draw)
        return ImageGan.loss(self, phase, nets, batch, draw)


class Hiding(ImageGan):
    """Its loss is no number from position 448 on, and its curves do not tell."""

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        found = super().loss(phase, nets, batch, draw)
        bad = torch.nan if phase == "generator" and draw.position >= 448 else 1.0
        return Loss(found.per_example * bad, found.scalars)


MADE = {"exploding": Exploding, "exploding_once": ExplodingOnce, "hiding": Hiding}


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    ExplodingOnce.left = 1
    for name, recipe in MADE.items():
        RECIPES.register(name)(recipe)
        options: Any = type("Options", (DcganOptions,), {"__annotations__": {"recipe": str}, "recipe": name})
        RECIPE_OPTIONS.register(name)(options)
    yield
    for name in MADE:
        RECIPES.unregister(name)
        RECIPE_OPTIONS.unregister(name)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_loss_that_is_not_finite_stops_the_run_and_says_which_where_and_what_is_left(
    store: Store, digits_store: Store, experiment: Make
) -> None:
    said = (r"^loss/generator is inf after 320 images; generator: the gradient of generator\.\S+ and of \d+ other "
            r"tensors is not finite from the step at 256 images on; the last good state is the checkpoint of 256 "
            r"images; lower the learning rates, or set train\.on_divergence\.policy=roll_back")
    with pytest.raises(Diverged, match=said):
        train(store, digits_store, experiment(model={"recipe": "exploding"}))
    state = last_state(store)
    assert state["position"] == 256
    assert all(t.isfinite().all() for net in state["networks"].values() for t in net.values())
    assert read_manifest(store, RUN) is None


def test_the_first_step_that_was_not_finite_is_named_however_rare_the_rows(
    store: Store, digits_store: Store, experiment: Make
) -> None:
    with pytest.raises(Diverged, match="not finite from the step at 256 images on"):
        train(store, digits_store, experiment(model={"recipe": "exploding"}, train={"report_every": 512}))


def test_no_run_is_finished_with_weights_that_are_no_numbers(
    store: Store, digits_store: Store, experiment: Make
) -> None:
    with pytest.raises(Diverged, match=r"the gradient of generator\.\S+ .* from the step at 448 images on"):
        train(store, digits_store, experiment(model={"recipe": "hiding"}))
    assert read_manifest(store, RUN) is None


def test_a_penalty_beyond_all_measure_diverges_at_the_first_row(
    store: Store, digits_store: Store, experiment: Make
) -> None:
    with pytest.raises(Diverged, match=r"after 64 images; .*; the last good state is the beginning"):
        train(store, digits_store, experiment(model={"penalties": {"r1": {"gamma": 1e300}}}))
    assert place(store).checkpoints() == []


def test_a_roll_back_goes_on_from_the_last_good_checkpoint_with_lower_learning_rates(
    store: Store, tmp_path: Path, digits_store: Store, experiment: Make
) -> None:
    settings = experiment(model={"recipe": "exploding_once"}, train=ROLL_BACK)
    reporter = Scripted()
    assert train(store, digits_store, settings, reporter)
    (rolled_back,) = finished(store).facts["rollbacks"]
    assert (rolled_back["at"], rolled_back["to"], rolled_back["learning_rates"]) == (320, 256, 0.5)
    assert "loss/generator is inf after 320 images" in rolled_back["why"]
    assert [n for n in reporter.notes if "from the checkpoint of 256 images with learning rates times 0.5" in n]
    assert [position for position, _ in reporter.rows] == [64, 128, 192, 256, 320, 384, 448, 512]
    assert equal(last_state(store)["networks"], by_hand(Store(tmp_path / "by-hand"), digits_store, settings))


def by_hand(store: Store, digits: Store, settings: Experiment) -> Any:
    """The networks at the end when a person halves the learning rates in the checkpoint of 256 images."""
    ExplodingOnce.left = 0
    train(store, digits, settings, stop_at(256))
    state = last_state(store)
    for optimizer in state["optimizers"].values():
        for group in optimizer["param_groups"]:
            assert group["lr"] == LEARNING_RATE
            group["lr"] /= 2
    with artefact(store, f"{RUN}/checkpoints/{256:012d}-0001", kind="checkpoint", key="k") as draft:
        torch.save(state, draft.path / "state.pt")
    assert train(store, digits, settings)
    return last_state(store)["networks"]


def test_a_roll_back_without_a_checkpoint_begins_again(store: Store, digits_store: Store, experiment: Make) -> None:
    assert train(store, digits_store, experiment(model={"recipe": "exploding_once"},
                                                 train=ROLL_BACK | {"checkpoint_every": 10**6}))
    assert [(r["at"], r["to"]) for r in finished(store).facts["rollbacks"]] == [(320, 0)]
    for optimizer in last_state(store)["optimizers"].values():
        assert [group["lr"] for group in optimizer["param_groups"]] == [LEARNING_RATE / 2]


def test_what_diverges_again_and_again_stops_after_the_last_roll_back(
    store: Store, digits_store: Store, experiment: Make
) -> None:
    policy = {"on_divergence": {"policy": "roll_back", "times": 2, "factor": 0.1}}
    reporter = Scripted()
    with pytest.raises(Diverged, match=r"after 2 roll-backs; the last good state is the checkpoint of 256 images"):
        train(store, digits_store, experiment(model={"recipe": "exploding"}, train=policy), reporter)
    assert [note.rpartition(" ")[2] for note in reporter.notes] == ["0.1", "0.01"]


def test_a_resume_after_a_roll_back_keeps_the_lower_learning_rates(
    store: Store, tmp_path: Path, digits_store: Store, experiment: Make
) -> None:
    settings = experiment(model={"recipe": "exploding_once"}, train=ROLL_BACK)
    assert train(store, digits_store, settings)
    ExplodingOnce.left, parted = 1, Store(tmp_path / "parted")
    assert not train(parted, digits_store, settings, stop_at(448 + 64))  # one step was taken twice
    assert last_state(parted)["position"] == 448
    assert train(parted, digits_store, settings)
    assert equal(last_state(parted), last_state(store))
