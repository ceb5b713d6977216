"""The parts that benchmarks/scaling_model.py puts together, for benchmarks/scaling.py.

Counted, of one worker's share of a step (`gan_core.train.cost`) with eight workers: parameters, floating-point
operations of an image, bytes of a checkpoint, torch's calls, and the messages between workers besides the gradients.
Measured here, in processor time of one thread: a step at several shares of a batch, a call that computes next to
nothing, reading shards, and what a block of an evaluation costs whoever looks at it and whoever asks for it.  gloo's
messages are measured by the clock.
"""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import train
from evaluating import EXPERIMENT, Drowned
from generate import SHAPES, publish
from torch.multiprocessing.spawn import spawn
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode

from gan_core.bundle import read_generator
from gan_core.config import Experiment, experiment_from, read_yaml, with_overrides
from gan_core.data.shards import open_shards
from gan_core.data.write import write_shards
from gan_core.manifest import read_manifest
from gan_core.metrics.look import BLOCK
from gan_core.recipes.recipe import DataSpec
from gan_core.store import Store
from gan_core.train.cost import Cost, count, expected_switches
from gan_core.train.distributed import Workers
from gan_core.train.tally import Tally
from pipelines.features import features_of
from pipelines.handles import Shards
from pipelines.looks import Looking, in_turn

CONFIGS = Path(__file__).parent.parent / "configs"
SHARES = (1, 4, 16, 64)  # images of a worker in a step
WORLD, ROWS = 8, 2  # workers and images of each, where steps are counted
SMALL, LARGE = 4, 64 * 2**20  # bytes of gloo's messages
COUNTED = 2  # steps that `count` takes
TAUGHT = 2_560
Part = tuple[str, float, str]


@dataclass(frozen=True)
class System:
    """One of three: an experiment, and the data it is for."""

    name: str
    raw: dict[str, Any]
    data: DataSpec

    def experiment(self, **setting: Any) -> Experiment:
        told = tuple(f"train.{name}={value}" for name, value in setting.items())
        return experiment_from(with_overrides(self.raw, told))


def systems() -> tuple[System, ...]:
    """Small, middling and large: the networks of Radford et al. 2016, of R3GAN for CIFAR-10, and BigGAN's at 256 px."""
    small = {"name": "dcgan64", "data": {"source": "digits"}, "train": {"batch": 64, "images": 10**6},
             "model": {"recipe": "dcgan", "width": 64, "conditional": False}}
    return (System("dcgan64", small, DataSpec((3, 64, 64), 0)),
            System("r3gan32", read_yaml(CONFIGS / "cifar10_r3gan.yaml"), DataSpec((3, 32, 32), 10)),
            System("biggan256", read_yaml(CONFIGS / "folder_biggan_256.yaml"), DataSpec((3, 256, 256), 100)))


def parts(settings: train.Settings) -> Iterator[Part]:
    """Each figure as its name, value and unit."""
    for system in systems():
        yield from counted(system)
    yield from steps(settings)
    yield from gloo()
    yield from asked()


def counted(system: System) -> Iterator[Part]:
    experiment = system.experiment(batch=WORLD * ROWS, accumulate=1)
    with messages() as sent, calls_counted() as calls:
        cost = count(experiment, system.data, expected_switches(experiment.train), world=WORLD)
    kept = cost.kept - 4 * parameters(cost)  # gradients are kept with the rest, and are in no checkpoint
    yield f"{system.name}_parameters", parameters(cost), "numbers"
    yield f"{system.name}_flops", cost.flops / ROWS, "operations an image"
    yield f"{system.name}_checkpoint", kept, "bytes"
    yield f"{system.name}_calls", len(calls) / COUNTED, "a step"
    yield f"{system.name}_messages", len(sent) / COUNTED, "a step"
    yield f"{system.name}_message_bytes", sum(sent) / COUNTED, "bytes of a worker and step"


def parameters(cost: Cost) -> int:
    return sum(net.parameters for net in cost.networks)


@contextmanager
def calls_counted() -> Iterator[list[None]]:
    """An entry for each operation that is counted in this block."""
    calls: list[None] = []
    counting = Tally.__torch_dispatch__

    def noted(self: Tally, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        calls.append(None)
        return counting(self, function, types, args, kwargs)

    Tally.__torch_dispatch__ = noted
    try:
        yield calls
    finally:
        Tally.__torch_dispatch__ = counting


@contextmanager
def messages() -> Iterator[list[int]]:
    """Bytes of each tensor that a worker gives to all others in this block, of eight workers of which seven are not."""
    sent: list[int] = []
    gather: Callable[..., Any] = dist.all_gather

    def noted(every: list[torch.Tensor], ours: torch.Tensor, *told: Any, **named: Any) -> Any:
        sent.append(ours.numel() * ours.element_size())
        return gather(every, ours, *told, **named)

    dist.init_process_group("fake", rank=0, world_size=WORLD, store=FakeStore())
    dist.all_gather = noted
    try:
        yield sent
    finally:
        dist.all_gather = gather
        dist.destroy_process_group()


def steps(settings: train.Settings) -> Iterator[Part]:
    """ms of a step of DCGAN 64 × 64 by the worker's share of the batch, images/s read from its shards, and what a call
    of torch takes that computes next to nothing: a step of DCGAN 28 × 28 at a width of 8 over its calls.
    """
    train.register()
    torch.set_num_threads(1)
    one = Workers(0, 1, settings.device)
    for share in SHARES:
        with train.ours(settings, 64, share, one) as (step, curves):
            yield f"step_{share}", 1000 * seconds(partial(step.take, curves), 1.5), "ms"
            if share == SHARES[-1]:
                yield "read", share / seconds(lambda at=step.batches.at: at(0), 0.5), "images/s"
    narrow = replace(settings, overrides=("model={recipe: dcgan, conditional: false, width: 8}",
                                          "train.precision=float32"))
    with train.ours(narrow, 28, ROWS, one) as (step, curves):
        took = seconds(partial(step.take, curves), 1.5)
        with Calls() as calls:
            step.take(curves)
        yield "call", 1e6 * took / calls.made, "µs"


class Calls(TorchDispatchMode):
    """How many operations of torch are called in a block."""

    made = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.made += 1
        return function(*args, **(kwargs or {}))


def seconds(work: Callable[[], object], least: float) -> float:
    """Processor time of a call: the least within so many seconds, which other work on the machine disturbs least."""
    work()
    took, end = [], time.process_time() + least
    while not took or time.process_time() < end:
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return min(took)


def gloo() -> Iterator[Part]:
    """Of an all-reduce between two processes of this machine: ms of a small one, and MB/s each sends in a large one."""
    with tempfile.TemporaryDirectory() as folder:
        spawn(_two, (folder,), nprocs=2)
        small, large = np.load(f"{folder}/took.npy")
    yield "gloo_small", 1000 * float(small), "ms"
    yield "gloo_large", LARGE / 1e6 / float(large), "MB/s"


def _two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2,
                            timeout=timedelta(minutes=2))
    took = []
    for size, times in ((SMALL, 300), (LARGE, 8)):
        tensor = torch.zeros(size // 4)
        spent = []
        for _ in range(times):
            dist.barrier()
            start = time.perf_counter()
            dist.all_reduce(tensor)
            spent.append(time.perf_counter() - start)
        took.append(median(spent))
    if rank == 0:
        np.save(f"{folder}/took.npy", took)
    dist.destroy_process_group()


def asked() -> Iterator[Part]:
    """ms of a block of an evaluation: on whoever looks at it, and on the process that draws its noise, sends it, and
    takes what comes back.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        looking = a_look(Store(folder))
        generator = read_generator(looking.store, "28x28")
        sight = looking._sight(("domain",), "28x28")
        blocks = generator.inputs(10_000 * BLOCK, BLOCK, seed=0)
        block = next(blocks)
        looked = pickle.dumps(sight.look(block))
        yield "block", 1000 * seconds(partial(sight.look, block), 1.5), "ms"
        images = np.empty((BLOCK, *generator.spec.output), np.uint8)

        def ask() -> None:
            pickle.dumps(next(blocks))
            images[:] = pickle.loads(looked).images

        yield "block_asked", 1000 * seconds(ask, 0.5), "ms"


def a_look(store: Store) -> Looking:
    """At a generator of fresh weights, 28x28 in the store, by the network of a data set there."""
    write_shards(Drowned(count=TAUGHT), store, "shards/drowned", shard_examples=TAUGHT, key="drowned")
    manifest = read_manifest(store, "shards/drowned")
    assert manifest is not None
    shards = Shards(store.uri("shards/drowned"), "shards/drowned", manifest.digest)
    data = open_shards(store, "shards/drowned")
    publish(store, "28x28", SHAPES["28x28"])
    return Looking(store, shards, data, EXPERIMENT.evaluate, features_of(store, shards, "f" * 64, 0, data), in_turn)
