"""A step is the same whatever the number of workers and parts: each parameter's gradient in each phase is compared."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from gan_core.config import Experiment, experiment_from
from gan_core.data.batches import Batches
from gan_core.data.shards import open_shards
from gan_core.recipes.recipe import DataSpec, build_recipe
from gan_core.store import Store
from gan_core.train.curves import Curves
from gan_core.train.distributed import Workers
from gan_core.train.state import TrainState
from gan_core.train.step import Step
from gan_core.train.switches import Switches
from tests.domains import written
from tests.tones import recordings, write_tones
from tests.workers import run_workers

STEPS = 3
Make = Callable[..., Experiment]
Gradients = dict[str, Tensor]


def steps_of(experiment: Experiment, digits: Store) -> tuple[Gradients, TrainState, list[dict[str, float]]]:
    """Some steps of this worker: every gradient that an optimizer was given, the state and the curves after them."""
    workers, shards = Workers.current(), open_shards(digits, "shards/digits")
    recipe = build_recipe(experiment, DataSpec.of(shards.form, shards.classes, (), shards.facts))
    switches = Switches.resolved(experiment.train, workers.device, 1)
    state = TrainState.fresh(recipe, experiment.seed, workers.device, switches)
    batches = Batches(shards.split("train"), seed=experiment.seed, batch=experiment.train.batch, rank=workers.rank,
                      world=workers.world, device=workers.device, sampling=experiment.train.sampling)
    step = Step.of(experiment, recipe, batches, workers, state, switches)
    given: Gradients = {}

    def keep(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        phase = next(name for name, own in state.optimizers.items() if own is optimizer)
        number = sum(name.endswith("/0") and name.startswith(f"{state.position}/{phase}") for name in given)
        given.update({f"{state.position}/{phase}/{number}/{i}": weight.grad.clone()
                      for i, weight in enumerate(optimizer.param_groups[0]["params"])})

    for optimizer in state.optimizers.values():
        optimizer.register_step_pre_hook(keep)
    curves, rows = Curves(), []
    for _ in range(STEPS):
        step.take(curves)
        rows.append(dict(curves.row(state.position, workers)))
    return given, state, rows


def settings(make: Make, **train: Any) -> Experiment:
    """Float32: what is compared is the mathematics."""
    model = {"penalties": {"r1": {"gamma": 1.0}}} | train.pop("model", {})
    return make(model=model, train={"precision": "float32", "ema_half_life": 100} | train)


# steps as smooth as their gradients, where Adam's are of one size for a gradient of 1e-9 and of −1e-9
SGD = {name: {"algorithm": "sgd", "learning_rate": 1e-3} for name in ("generator_optimizer", "discriminator_optimizer")}
CASES: dict[str, dict[str, Any]] = {
    "no penalty": {"model": {"penalties": {"r1": None}}},
    "r1": {},
    "lazy r1": {"model": {"penalties": {"r1": {"every": 2}}}},
    "channels first": {"channels_last": False},
    "balanced and augmented": {"sampling": "balanced", "augment": {"flip": 0.5, "shift": 2}},
    "in two parts": {"accumulate": 2, "model": {"generator": {"norm": "group"}}},
    "in two parts without penalty": {"accumulate": 2,
                                     "model": {"generator": {"norm": "group"}, "penalties": {"r1": None}}},
    "wgan": {"model": {"recipe": "wgan", "critic_steps": 2, "penalties": {"r1": None}}},
    # a critic is nearly linear at first: batch norm then subtracts gradients that are nearly equal, and torch's kernel
    # for channels-last maps sums them less exactly than the other
    "wgan_gp": {"channels_last": False, "model": {"recipe": "wgan_gp", "critic_steps": 2, **SGD,
                          "penalties": {"r1": None, "consistency": {"shift": 1}}}},
    "dragan, noise, ada": {"model": {"recipe": "dragan", "instance_noise": {"std": 0.2, "until": 1000}, "penalties": {
        "r1": None}, "augment": {"method": "ada", "start": 0.5, "transforms": ["color", "geometry"]}}},
    "acgan, dropout, diffaugment, two judges, wrong labels": {"model": {
        "recipe": "acgan", "penalties": {"r1": None}, "augment": {}, "discriminators": 2, "wrong_labels": 0.3,
        "targets": {"smooth_real": 0.1, "flipped": 0.1}}},
    "sngan": {"channels_last": False, "model": {"recipe": "sngan", **SGD, "penalties": {"r1": None}}},
    "biggan": {"channels_last": False, "model": {"recipe": "biggan", **SGD, "penalties": {"r1": None}, "latent": 8}},
    "fanogan": {"model": {"recipe": "fanogan", "critic_steps": 2, "conditional": False, **SGD,
                          "encoder_optimizer": SGD["generator_optimizer"], "penalties": {"r1": None}}},
    "r3gan": {"model": {"recipe": "r3gan", "width": 16, "latent": 16,
                        "penalties": {"r1": {"gamma": 1}, "r2": {"gamma": 1}}}},
    "wavegan, noise": {"model": {"recipe": "wavegan", "width": 4, "critic_steps": 2, "conditional": True, **SGD,
                                 "penalties": {"r1": None}, "instance_noise": {"std": 0.2, "until": 1000}}},
}
OF_RECORDINGS = ("wavegan, noise",)


WORLDS = (4, 3, 2)  # three do not share 64 images evenly


@pytest.fixture(scope="module")
def data_of(tmp_path_factory: pytest.TempPathFactory, digits_store: Store) -> Callable[[str], Store]:
    """The store with what a case learns."""
    folder = tmp_path_factory.mktemp("tones")
    tones = written(recordings(write_tones(folder / "wav")), folder / "store")
    return lambda case: tones if case in OF_RECORDINGS else digits_store


def work(rank: int, cases: dict[str, dict[str, Any]], stores: dict[str, str], folder: str) -> None:
    """One worker of each group, one after the other."""
    torch.set_num_threads(1)
    for world in WORLDS:
        if rank >= world:
            return
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{world}", rank=rank, world_size=world,
                                timeout=timedelta(seconds=60))
        for name, raw in cases.items():
            given, state, rows = steps_of(experiment_from(raw), Store(stores[name]))
            if rank == 0:
                torch.save({"given": given, "state": state.snapshot(), "rows": rows}, f"{folder}/{world}-{name}.pt")
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, data_of: Callable[[str], Store], experiment: Make
) -> Callable[[int, str], Any]:
    """What several workers did in each case."""
    folder = tmp_path_factory.mktemp("steps")
    elastic = {"workers": {"min": 1, "max": 4}}
    raw = {name: settings(experiment, **case, **elastic).as_json() for name, case in CASES.items()}
    stores = {name: data_of(name).url for name in CASES}
    run_workers(work, (raw, stores, str(folder)), max(WORLDS))
    return lambda world, name: torch.load(Path(folder) / f"{world}-{name}.pt", weights_only=True)


def assert_same(found: Gradients, wanted: Gradients) -> None:
    """The same sums in another order: each tensor agrees to 1e-4 of its largest element.

    Where real and generated images' parts cancel, to 1e-5 of the largest of the phase.
    """
    assert found.keys() == wanted.keys()
    largest = {name.rpartition("/")[0]: 0.0 for name in wanted}
    for name, want in wanted.items():
        phase = name.rpartition("/")[0]
        largest[phase] = max(largest[phase], float(want.abs().max()))
    for name, want in wanted.items():
        bound = max(1e-4 * float(want.abs().max()), 1e-5 * largest[name.rpartition("/")[0]])
        assert (found[name] - want).abs().max() <= bound, name


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("case", CASES)
def test_workers_that_share_a_batch_have_the_gradients_of_one_that_takes_it_whole(
    shared: Callable[[int, str], Any], world: int, case: str, data_of: Callable[[str], Store], experiment: Make
) -> None:
    given, state, rows = steps_of(settings(experiment, **CASES[case]), data_of(case))
    found = shared(world, case)
    first = {name: value for name, value in given.items() if name.startswith("0/")}
    first_found = {name: value for name, value in found["given"].items() if name.startswith("0/")}
    assert_same(first_found, first)
    assert found["given"].keys() == given.keys()
    for net, network in state.snapshot()["networks"].items():
        for name, want in network.items():
            # Adam makes steps of about the learning rate of gradients of any size
            assert (found["state"]["networks"][net][name] - want).abs().max() <= 0.02 * 2e-4 * STEPS + 1e-6, name
    for ours, theirs in zip(found["rows"], rows, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3, abs=1e-5)


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("r1", [None, {"gamma": 1.0}, {"every": 2}])
def test_a_batch_in_parts_gives_the_gradients_of_the_whole(
    parts: int, r1: dict[str, Any] | None, digits_store: Store, experiment: Make
) -> None:
    model = {"generator": {"norm": "group"}, "penalties": {"r1": r1}}
    whole, _, rows = steps_of(settings(experiment, model=model), digits_store)
    found, _, in_parts = steps_of(settings(experiment, accumulate=parts, model=model), digits_store)
    first = {name: value for name, value in whole.items() if name.startswith("0/")}
    assert_same({name: value for name, value in found.items() if name.startswith("0/")}, first)
    for ours, theirs in zip(in_parts, rows, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3, abs=1e-5)


def test_a_lazy_phase_is_taken_as_often_as_it_says_with_the_optimizer_it_shares(
    digits_store: Store, experiment: Make
) -> None:
    given, state, _ = steps_of(settings(experiment, model={"penalties": {"r1": {"every": 2}}}), digits_store)
    steps = {name.rpartition("/")[0] for name in given if "discriminator" in name}
    assert steps == {"0/discriminator/0", "0/discriminator/1", "64/discriminator/0", "128/discriminator/0",
                     "128/discriminator/1"}
    assert state.optimizers.keys() == {"discriminator", "generator"}
    (group,) = state.optimizers["discriminator"].param_groups
    assert group["lr"] == pytest.approx(2e-4 * 2 / 3)
    assert group["betas"] == pytest.approx((0.0, 0.99 ** (2 / 3)))
    assert state.optimizers["generator"].param_groups[0]["lr"] == 2e-4


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_takes_nearly_the_same_step_with_weights_and_gradients_in_float32(
    precision: str, digits_store: Store, experiment: Make
) -> None:
    whole, _, rows = steps_of(settings(experiment), digits_store)
    found, state, lower = steps_of(settings(experiment, precision=precision), digits_store)
    assert all(weight.dtype == torch.float32 for net in state.networks.values() for weight in net.parameters())
    assert all(gradient.dtype == torch.float32 for gradient in found.values())
    assert {*state.scalers} == ({"discriminator", "generator"} if precision == "float16" else set())
    assert lower[0]["loss/discriminator"] == pytest.approx(rows[0]["loss/discriminator"], rel=0.02)
    assert not any(torch.equal(found[name], whole[name]) for name in whole if name.startswith("0/generator"))
    if precision == "bfloat16":  # those of float16 are scaled
        assert lower[0]["gradient/generator"] == pytest.approx(rows[0]["gradient/generator"], rel=0.05)


def test_a_float16_step_beyond_its_range_is_left_out_and_the_scale_halved(
    digits_store: Store, experiment: Make
) -> None:
    """So heavy a penalty has a gradient that float16 does not hold, of a loss that float32 does."""
    heavy = settings(experiment, precision="float16", model={"penalties": {"r1": {"gamma": 1e12}}})
    before = TrainState.fresh(build_recipe(heavy, DataSpec((1, 8, 8), 10)), heavy.seed, torch.device("cpu"))
    _, state, _ = steps_of(heavy, digits_store)
    assert state.scalers["discriminator"].get_scale() == 2.0 ** (16 - STEPS)
    assert state.scalers["generator"].get_scale() == 2.0**16
    kept = state.networks["discriminator"].state_dict()
    assert all(torch.equal(kept[name], start)
               for name, start in before.networks["discriminator"].state_dict().items())


@pytest.mark.system
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of torch's own parts
def test_what_is_compiled_takes_the_same_step(digits_store: Store, experiment: Make) -> None:
    """Twice differentiated calls are left to eager torch."""
    whole, _, _ = steps_of(settings(experiment), digits_store)
    compiled, _, _ = steps_of(settings(experiment, compile=True), digits_store)
    first = {name: value for name, value in whole.items() if name.startswith("0/")}
    assert_same({name: value for name, value in compiled.items() if name.startswith("0/")}, first)


def test_gradients_have_the_strides_of_their_weights(digits_store: Store, experiment: Make) -> None:
    """Else DDP copies and warns; of one channel both memory orders are the same bytes, with other strides."""
    _, state, _ = steps_of(settings(experiment), digits_store)
    maps = [weight for net in state.networks.values() for weight in net.parameters()
            if weight.dim() == 4 and weight.grad is not None]
    assert any(weight.shape[1] == 1 for weight in maps)
    assert all(weight.grad is not None and weight.grad.stride() == weight.stride() for weight in maps)


def test_frozen_networks_get_no_gradient(digits_store: Store, experiment: Make) -> None:
    """The generator's step leaves none in the discriminator, which would be computed for nothing."""
    _, state, _ = steps_of(settings(experiment), digits_store)
    assert not any(weight.requires_grad for weight in state.networks["discriminator"].parameters())
    assert all(weight.requires_grad for weight in state.networks["generator"].parameters())
