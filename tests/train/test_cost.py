"""What a step is counted to cost, against closed forms, the step itself, and what a host or a GPU has."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from gan_core.config import Experiment, experiment_from, with_overrides
from gan_core.errors import ConfigError
from gan_core.options.image_gan import ImageGanOptions
from gan_core.recipes.image_gan import ImageGan
from gan_core.recipes.recipe import Batch, DataSpec, Loss, Networks, build_recipe
from gan_core.registry import RECIPE_OPTIONS, RECIPES
from gan_core.train.cost import CPU, Cost, Uncountable, count, expected_switches
from gan_core.train.distributed import Workers
from gan_core.train.memory import available, of_host
from gan_core.train.state import TrainState
from gan_core.train.step import Step
from gan_core.train.too_large import at_most, bytes_needed, refuse_what_does_not_fit, too_large
from tests.workers import run_workers

CHECKPOINTING = ("model.generator.checkpointing=true", "model.discriminator.checkpointing=true")
PLAIN: dict[str, Any] = {"conditional": False, "penalties": {"r1": None}}
GIB, MIB = 2**30, 2**20


def settings(model: dict[str, Any] | None = None, **train: Any) -> Experiment:
    """Of float32 and a small DCGAN, unless it says otherwise."""
    return experiment_from({
        "name": "counted", "data": {"source": "digits"}, "model": {"recipe": "dcgan", "width": 8} | (model or {}),
        "train": {"batch": 32, "images": 10**9, "precision": "float32"} | train,
    })


def with_settings(experiment: Experiment, *changes: str) -> Experiment:
    return experiment_from(with_overrides(experiment.as_json(), changes))


def cost_of(experiment: Experiment, shape: tuple[int, int, int] = (3, 16, 16), world: int = 1) -> Cost:
    return count(experiment, DataSpec(shape, 10), expected_switches(experiment.train), world=world)


def test_parameters_are_those_of_the_networks() -> None:
    experiment = settings({"discriminators": 2})
    networks = build_recipe(experiment, DataSpec((3, 16, 16), 10)).networks()
    wanted = {name: sum(weight.numel() for weight in net.parameters()) for name, net in networks.items()}
    assert {net.name: net.parameters for net in cost_of(experiment).networks} == wanted


def test_operations_are_those_of_the_closed_form() -> None:
    # of 16 × 16 images at width 4: a convolution's are 2 · pixels · channels out · channels in · window
    first = 2 * 16 * 16 * 4 * 3 * 9
    judge = first + 2 * 8 * 8 * 8 * 4 * 16 + 2 * 4 * 4 * 16 * 8 * 16 + 2 * 16 * 4 * 4
    begin = 2 * 8 * 16 * 4 * 4
    made = begin + 2 * 4 * 4 * 16 * 8 * 16 + 2 * 8 * 8 * 8 * 4 * 16 + 2 * 16 * 16 * 4 * 3 * 9
    found = cost_of(settings(PLAIN | {"width": 4, "latent": 8}))
    assert {net.name: net.flops for net in found.networks} == {"generator": made, "discriminator": judge}
    # nothing differentiates by images and z, and the generator's phase by no weight of the discriminator
    discriminator, generator = 2 * (judge + 2 * judge - first), judge + judge + 2 * made - begin
    assert found.flops == 32 * (made + discriminator + generator)


def test_a_penalty_that_is_seldom_taken_is_counted_in_the_step_that_takes_it() -> None:
    def flops(r1: dict[str, Any] | None) -> int:
        return cost_of(settings({"penalties": {"r1": r1}})).flops

    assert flops({"gamma": 1.0, "every": 16}) > 1.2 * flops(None)


def test_the_peak_grows_by_the_same_for_each_image() -> None:
    one, two, three = (cost_of(settings(batch=batch)) for batch in (64, 128, 192))
    assert one.kept == two.kept == three.kept
    assert three.peak - two.peak == pytest.approx(two.peak - one.peak, rel=0.01)
    assert two.peak - one.peak > one.peak / 2


def test_what_stays_is_weights_gradients_two_moments_and_an_average() -> None:
    found = cost_of(settings(PLAIN))
    sizes = {net.name: 4 * net.parameters for net in found.networks}
    assert found.kept == pytest.approx(4 * sum(sizes.values()) + sizes["generator"], rel=0.02)


def test_workers_and_parts_share_the_images_of_a_step() -> None:
    whole, shared, parts = (cost_of(settings(batch=128)), cost_of(settings(batch=128), world=2),
                            cost_of(settings(batch=128, accumulate=4)))
    assert (whole.rows, shared.rows) == (128, 64)
    assert shared.flops == whole.flops // 2
    assert shared.peak < 0.7 * whole.peak
    assert parts.peak < 0.5 * whole.peak


@pytest.mark.parametrize("family", ["dcgan", "biggan"])
def test_checkpointing_lowers_the_peak_for_more_operations(family: str) -> None:
    def cost(checkpointing: bool) -> Cost:
        block = {"family": family, "checkpointing": checkpointing}
        return cost_of(settings({"recipe": family, "generator": block, "discriminator": block}, batch=64), (3, 32, 32))

    kept, again = cost(False), cost(True)
    assert again.peak < 0.85 * kept.peak
    assert 1.1 * kept.flops < again.flops < 1.5 * kept.flops
    assert again.networks == kept.networks


def test_half_precision_lowers_the_peak_and_keeps_what_stays() -> None:
    full, half, scaled = (cost_of(settings(batch=128, precision=name)) for name in ("float32", "bfloat16", "float16"))
    assert half.peak < 0.8 * full.peak
    assert half == scaled
    assert half.kept == full.kept


@pytest.mark.parametrize("optimizer", [{"algorithm": "sgd", "momentum": 0.5}, {"algorithm": "rmsprop"}])
def test_optimizers_of_one_moment_keep_less(optimizer: dict[str, Any]) -> None:
    one = cost_of(settings(PLAIN | {"generator_optimizer": optimizer}))
    two = cost_of(settings(PLAIN))
    assert two.kept - one.kept == pytest.approx(4 * one.networks[0].parameters, rel=0.02)


def test_counting_leaves_torchs_random_state_alone() -> None:
    before = torch.get_rng_state()
    cost_of(settings())
    assert torch.equal(torch.get_rng_state(), before)


MEASURED = """
import resource, sys
from tests.train.test_cost import *
from gan_core.train.cost import _Blank
from gan_core.train.curves import Curves

def steps(experiment, shape):
    data, switches = DataSpec(shape, 10), expected_switches(experiment.train)
    switches.apply()
    recipe = build_recipe(experiment, data)
    state = TrainState.fresh(recipe, 0, CPU, switches)
    batches = _Blank(data, experiment.train.batch, CPU)
    step = Step.of(experiment, recipe, batches, Workers(0, 1, CPU), state, switches)
    for _ in range(3):
        step.take(Curves())

side, batch = map(int, sys.argv[1:])
steps(settings(batch=2), (3, 8, 8))  # torch's own memory
before = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
steps(settings({"width": 16}, batch=batch), (3, side, side))
# VmHWM is this program's own; ru_maxrss begins with that of the process that it was forked from
(peak,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak) * 1024 - before)
"""


@pytest.mark.system
@pytest.mark.parametrize(("side", "batch"), [(32, 128), (64, 48)])
def test_the_peak_is_what_a_step_takes_of_the_host(side: int, batch: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(side), str(batch)], capture_output=True, text=True, check=True,
        env={"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"},  # freed memory goes back to the system
    )
    counted = cost_of(settings({"width": 16}, batch=batch), (3, side, side)).peak
    assert int(done.stdout) == pytest.approx(counted, rel=0.1)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_peak_is_what_a_step_takes_of_a_gpu(precision: str) -> None:
    from gan_core.train.cost import _Blank
    from gan_core.train.curves import Curves

    experiment, device = settings({"width": 32}, batch=128, precision=precision), torch.device("cuda", 0)
    data, switches = DataSpec((3, 64, 64), 10), expected_switches(experiment.train, device)
    counted = count(experiment, data, switches, device=device).peak
    recipe = build_recipe(experiment, data)
    before = torch.cuda.memory_allocated()
    state = TrainState.fresh(recipe, 0, device, switches)
    step = Step.of(experiment, recipe, _Blank(data, 128, device), Workers(0, 1, device), state, switches)
    torch.cuda.reset_peak_memory_stats()
    for _ in range(3):
        step.take(Curves())
    assert torch.cuda.max_memory_allocated() - before == pytest.approx(counted, rel=0.2)


def too_many_images(left: int) -> Experiment:
    """Of four times as many images as there is memory for."""
    small, twice = (cost_of(settings(batch=batch), (1, 8, 8)).peak for batch in (1024, 2048))
    batch = 4 * left * 1024 // (twice - small)
    return settings(batch=batch - batch % 2)


def refused(experiment: Experiment, workers: Workers) -> str:
    with pytest.raises(ConfigError) as error:
        refuse_what_does_not_fit(experiment, DataSpec((1, 8, 8), 10), expected_switches(experiment.train), workers)
    return str(error.value)


def assert_each_fits(line: str, experiment: Experiment, left: int, world: int) -> int:
    """How many settings the line says work; each is counted again."""
    offers = [offer.split(" and ") for offer in re.findall(r"((?:[\w.]+=\w+(?: and )?)+) works", line)]
    for offer in offers:
        changed = with_settings(experiment, *offer)
        switches = expected_switches(changed.train)
        assert bytes_needed(changed, DataSpec((1, 8, 8), 10), switches, world, CPU) <= left, offer
    return len(offers)


def test_a_batch_that_does_not_fit_is_refused_with_settings_that_do() -> None:
    left = available(CPU)
    assert left is not None
    experiment = too_many_images(left)
    line = refused(experiment, Workers(0, 1, CPU))
    assert line.startswith(f"train.batch={experiment.train.batch} images of 1x8x8, model.width=8: a step needs ")
    assert re.search(r"needs [\d,.]+ GiB, counted beforehand, and this host has [\d,.]+ GiB left; ", line)
    assert "train.accumulate=" in line
    assert "model.width=" in line
    assert assert_each_fits(line, experiment, left, 1) >= 2
    assert "\n" not in line


def test_the_refusal_offers_the_fewest_parts_and_what_fits_together_where_nothing_does_alone() -> None:
    block = {"family": "dcgan", "norm": "none"}
    experiment, shape = settings({"generator": block}, batch=8), (3, 64, 64)
    found = [cost_of(with_settings(experiment, *offer), shape).peak for offer in (
        ("train.accumulate=4",), ("train.accumulate=8",), CHECKPOINTING, (*CHECKPOINTING, "train.accumulate=8"))]
    four, eight, again, both = (int(1.1 * peak) for peak in found)
    assert four > eight > both
    assert again > both

    def offered(left: int) -> str:
        return too_large(experiment, DataSpec(shape, 10), expected_switches(experiment.train), 1, CPU, 99, left)

    assert "train.accumulate=4 works" in offered(four)
    assert "train.accumulate=8 works" in offered(four - 1)
    assert " and ".join((*CHECKPOINTING, "train.accumulate=8")) + " works" in offered(both)
    assert offered(1).endswith("; smaller images work, or more workers on other machines")


def test_what_fits_is_let_through_and_not_even_counted_where_it_fits_by_far(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, data = settings(), DataSpec((1, 8, 8), 10)
    left = available(CPU)
    assert left is not None
    assert at_most(experiment, data, 1) < left / 2
    monkeypatch.setattr("gan_core.train.too_large.count", None)
    assert refuse_what_does_not_fit(experiment, data, expected_switches(experiment.train), Workers(0, 1, CPU)) == ""


@pytest.mark.parametrize("recipe", ["dcgan", "wgan_gp", "r3gan"])
def test_no_system_passes_the_bound_that_saves_the_counting(recipe: str) -> None:
    experiment, data = settings({"recipe": recipe, "width": 32}), DataSpec((3, 16, 16), 10)
    needed = bytes_needed(experiment, data, expected_switches(experiment.train), 1, CPU)
    assert needed < at_most(experiment, data, 1)


class Peeks(ImageGan):
    """Its loss depends on a value, which tensors without bytes have not got."""

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Any) -> Loss:
        loss = super().loss(phase, nets, batch, draw)
        return loss if loss.per_example.mean().item() > 0 else Loss(-loss.per_example, {})


class PeeksOptions(ImageGanOptions):
    recipe: Any = "peeks"


@pytest.fixture
def peeks() -> Iterator[None]:
    RECIPES.register("peeks")(Peeks)
    RECIPE_OPTIONS.register("peeks")(PeeksOptions)
    yield
    RECIPES.unregister("peeks")
    RECIPE_OPTIONS.unregister("peeks")


@pytest.mark.usefixtures("peeks")
def test_a_recipe_that_cannot_be_counted_is_told_of_and_trains() -> None:
    experiment = settings({"recipe": "peeks"}, batch=10**8)
    with pytest.raises(Uncountable, match="recipe peeks cannot be counted"):
        cost_of(experiment)
    note = refuse_what_does_not_fit(experiment, DataSpec((1, 8, 8), 10), expected_switches(experiment.train),
                                    Workers(0, 1, CPU))
    assert "whether it fits the memory is seen when it runs" in note


def work(rank: int, folder: str, raw: dict[str, Any]) -> None:
    """One of two workers that are about to take too large a step."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2,
                            timeout=timedelta(seconds=60))
    line = refused(experiment_from(raw), Workers.current())
    Path(folder, f"{rank}.txt").write_text(line)
    dist.destroy_process_group()


@pytest.mark.slow
def test_workers_refuse_together_with_the_cost_that_one_of_them_counts(tmp_path: Path) -> None:
    left = available(CPU)
    assert left is not None
    experiment = too_many_images(left)
    run_workers(work, (str(tmp_path), experiment.as_json()), 2)
    said = [(tmp_path / f"{rank}.txt").read_text() for rank in range(2)]
    needs = [re.findall(r"needs ([\d,.]+ GiB) on each of 2 workers", line) for line in said]
    assert needs[0] == needs[1] != []
    assert assert_each_fits(said[1], experiment, left, 2) >= 1


Files = Callable[[dict[str, object]], Path]


@pytest.fixture
def kernel(tmp_path: Path) -> Files:
    """Files as the kernel shows them, below proc/ and groups/."""

    def write(files: dict[str, object]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"{text}\n")
        return tmp_path

    return write


HOST = {"proc/meminfo": "MemTotal: 9000000 kB\nMemAvailable: 8388608 kB"}
JOB, POD = "groups/pod/job", "groups/pod"
V2 = {
    "proc/self/cgroup": "0::/pod/job",
    f"{JOB}/memory.max": "max", f"{JOB}/memory.current": GIB,
    f"{POD}/memory.max": 3 * GIB, f"{POD}/memory.current": 2 * GIB,
    f"{POD}/memory.stat": f"anon 1\ninactive_file {GIB}",
}
V1 = {
    "proc/self/cgroup": "5:cpu:/\n4:memory:/job\n0::/",
    "groups/memory/job/memory.limit_in_bytes": 512 * MIB, "groups/memory/job/memory.usage_in_bytes": 500 * MIB,
    "groups/memory/job/memory.stat": f"cache 7\ntotal_inactive_file {100 * MIB}",
    "groups/memory/memory.limit_in_bytes": 2**63 - 4096, "groups/memory/memory.usage_in_bytes": GIB,
}


@pytest.mark.parametrize(("files", "left"), [
    (HOST, 8 * GIB),
    (HOST | {"proc/self/cgroup": "0::/"}, 8 * GIB),
    (HOST | V2, 2 * GIB),  # of the outer group, less what can be dropped
    (HOST | V2 | {f"{JOB}/memory.max": GIB + 5}, 5),
    (HOST | V2 | {f"{POD}/memory.current": 5 * GIB}, 0),
    (HOST | V1, 112 * MIB),
    ({}, None),
])
def test_memory_is_what_host_and_control_groups_leave(
    kernel: Files, files: dict[str, object], left: int | None
) -> None:
    root = kernel(files)
    assert of_host(root / "proc", root / "groups") == left


def test_workers_of_a_host_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_core.train.memory.of_host", lambda: 9 * GIB)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert available(CPU) == 3 * GIB
