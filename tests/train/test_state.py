from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_core.config import Experiment
from gan_core.recipes.recipe import DataSpec, build_recipe
from gan_core.train.schedule import crossed, ema_decay
from gan_core.train.state import TrainState
from tests.train.runs import equal

CPU = torch.device("cpu")


@pytest.fixture
def fresh(experiment: Callable[..., Experiment]) -> Callable[..., TrainState]:
    """fresh(seed): the state at position 0 of the tiny experiment."""

    def make(seed: int = 0) -> TrainState:
        return TrainState.fresh(build_recipe(experiment(), DataSpec((1, 8, 8), 10)), seed, CPU)

    return make


def tensors(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def change_everything(state: TrainState, to: float = 1.0) -> None:
    """One optimizer step of every phase, and everything in the networks set to a value."""
    for network in state.networks.values():
        for weight in network.parameters():
            weight.grad = torch.full_like(weight, 0.5)
    for optimizer in state.optimizers.values():
        optimizer.step()
    with torch.no_grad():
        for network in state.networks.values():
            for tensor in network.state_dict().values():
                tensor.fill_(to)
    state.position += 64


@pytest.mark.parametrize(("batch", "half_life"), [(64, 640), (1, 100), (128, 128), (500, 2000)])
def test_after_its_half_life_an_average_has_gone_half_the_way(
    fresh: Callable[..., TrainState], batch: int, half_life: int
) -> None:
    state = fresh()
    start = tensors(state.averages["generator"])
    change_everything(state, to=3.0)
    for _ in range(half_life // batch):
        state.average(ema_decay(batch, half_life))
    for name, average in state.averages["generator"].state_dict().items():
        if average.is_floating_point():  # running statistics go the same way as weights
            torch.testing.assert_close(average, (start[name] + 3.0) / 2, msg=name)
        else:
            assert average.item() == 3


def test_the_decay_does_not_depend_on_how_images_are_dealt_to_steps() -> None:
    assert ema_decay(64, 2000) == pytest.approx(ema_decay(32, 2000) ** 2)
    assert ema_decay(2000, 2000) == 0.5
    assert ema_decay(4000, 2000) == 0.25


def test_without_a_half_life_the_average_is_the_network(fresh: Callable[..., TrainState]) -> None:
    state = fresh()
    change_everything(state, to=0.1)
    state.average(ema_decay(64, 0))
    assert equal(tensors(state.averages["generator"]), tensors(state.networks["generator"]))


def test_averages_start_at_the_network_take_no_gradient_and_stay_in_evaluation(
    fresh: Callable[..., TrainState],
) -> None:
    state = fresh()
    average, network = state.averages["generator"], state.networks["generator"]
    assert equal(tensors(average), tensors(network))
    assert not any(weight.requires_grad for weight in average.parameters())
    assert network.training
    assert not average.training
    assert {*state.averages} == {"generator"}


def test_a_snapshot_is_not_changed_by_later_steps(fresh: Callable[..., TrainState]) -> None:
    state, witness = fresh(), fresh()
    for each in (state, witness):
        change_everything(each, to=0.25)
        each.average(0.5)
    taken = state.snapshot()
    assert equal(taken, witness.snapshot())
    change_everything(state)
    state.average(0.5)
    assert equal(taken, witness.snapshot())
    assert not equal(taken, state.snapshot())


def test_a_restored_state_is_the_one_that_was_saved_and_goes_on_like_it(fresh: Callable[..., TrainState]) -> None:
    saved, other = fresh(0), fresh(1)
    change_everything(saved, to=0.25)
    saved.average(0.5)
    assert not equal(saved.snapshot(), other.snapshot())
    other.restore(saved.snapshot())
    assert equal(saved.snapshot(), other.snapshot())
    for state in (saved, other):
        change_everything(state)
        state.average(0.9)
    assert equal(saved.snapshot(), other.snapshot())


def test_restoring_keeps_averages_out_of_training(fresh: Callable[..., TrainState]) -> None:
    state = fresh()
    state.restore(fresh(1).snapshot())
    assert not any(weight.requires_grad for weight in state.averages["generator"].parameters())


def test_a_snapshot_is_plain_enough_to_be_loaded_without_code(fresh: Callable[..., TrainState], tmp_path: Any) -> None:
    taken = fresh().snapshot()
    torch.save(taken, tmp_path / "state.pt")
    assert equal(torch.load(tmp_path / "state.pt", weights_only=True), taken)


def test_fresh_weights_are_the_seed_s_alone(fresh: Callable[..., TrainState]) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = fresh(5).snapshot()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert equal(fresh(5).snapshot(), first)
    assert not equal(fresh(6).snapshot(), first)


@pytest.mark.parametrize("step", [1, 10, 64, 100, 128, 300])
@pytest.mark.parametrize("every", [1, 64, 100, 128])
def test_each_multiple_is_crossed_once_and_by_the_step_that_reaches_it(step: int, every: int) -> None:
    ends = range(step, 40 * step + 1, step)
    crossings = [end for end in ends if crossed(end, step=step, every=every)]
    assert crossings == sorted({-(-multiple // step) * step for multiple in range(every, 40 * step + 1, every)})
