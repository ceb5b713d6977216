"""The model of many GPUs: its laws, and that the page shows what it says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path("benchmarks/scaling_model.py")


@pytest.fixture(scope="module")
def model() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scaling_model", PATH)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found  # dataclasses look their module up
    spec.loader.exec_module(found)
    return found


def a_system(model: ModuleType, **other: float) -> object:
    told = {"parameters": 1e6, "flops": 1e12, "calls": 0.0, "messages": 0.0, "sent": 0.0, "checkpoint": 1.0}
    return model.System("one", "One", 512, **(told | other))


def test_the_page_shows_what_the_model_prints(model: ModuleType) -> None:
    shown = model.PAGE.read_text().partition(model.BEGIN)[2].partition(model.END)[0]
    assert shown == "\n" + "\n".join(model.tables()), "python benchmarks/scaling_model.py --write puts it there"


def test_without_messages_gpus_share_a_batch_without_loss(model: ModuleType) -> None:
    silent = a_system(model, parameters=0.0)
    network = model.Network("none", 1e30)
    one, eight = (model.step(silent, n, 512 // n, network, 0.0) for n in (1, 8))
    hops = 2 * 7 * model.HOP * 2  # two buckets even where they are empty
    assert eight.seconds == pytest.approx(one.seconds / 8 + hops)


def test_within_a_node_gradients_take_a_ring_s_time(model: ModuleType) -> None:
    system, network = a_system(model, parameters=50e6), model.NETWORKS[0]
    size = 4 * 50e6
    buckets = 2 + -(-size // model.BUCKET)
    expected = 2 * 7 / 8 * size / model.NVLINK + 2 * 7 * model.HOP * buckets
    assert model.gradients(system, 8, network) == pytest.approx(expected)


def test_one_gpu_sends_nothing(model: ModuleType) -> None:
    step = model.step(a_system(model, messages=10, sent=1e4), 1, 512, model.NETWORKS[0], 0.0)
    assert (step.gradients, step.norms) == (0, 0)


def test_what_is_asked_for_one_by_one_bounds_a_step(model: ModuleType) -> None:
    system = a_system(model, calls=1000.0)
    assert model.step(system, 1, 1, model.NETWORKS[0], 1.0).seconds == 1000


def test_norms_grow_with_the_number_of_workers(model: ModuleType) -> None:
    system = a_system(model, messages=10, sent=0.0)
    few, many = (model.norms(system, n, model.NETWORKS[0]) for n in (3, 5))
    assert many == 2 * few == pytest.approx(40 * model.HOP)


def test_twice_the_gpus_are_worth_it_as_long_as_they_are_half_as_fast_again(model: ModuleType) -> None:
    rates = {1: 1.0, 2: 1.9, 4: 3.0, 8: 4.0, 16: 100.0}
    assert model.worth(rates.__getitem__, 16) == 4


def test_parameters_in_the_results_are_those_of_the_recipes(model: ModuleType) -> None:
    from gan_core.config import experiment_from, read_yaml
    from gan_core.recipes.recipe import DataSpec
    from gan_core.train.cost import networks_of

    parts = model.measured()
    for name, config, data in (("r3gan32", "cifar10_r3gan", DataSpec((3, 32, 32), 10)),
                               ("biggan256", "folder_biggan_256", DataSpec((3, 256, 256), 100))):
        networks = networks_of(experiment_from(read_yaml(Path(f"configs/{config}.yaml"))), data)
        counted = sum(p.numel() for net in networks.values() for p in net.parameters())
        assert parts[f"{name}_parameters"] == pytest.approx(counted, rel=1e-3)
