"""How much of `gan generate` is the network: the whole path against the network alone, as JSON lines.

    python benchmarks/generate.py [--only generate_64x64] [--repeats 5] [--seconds 3]

generate_64x64, generate_28x28      images/s of noise, network, uint8, Arrow, sha256 and disk, one process and thread,
                                    against network(noise) alone with the same precision, batch and thread
generate_64x64_cpu, …               the same in seconds of CPU time, which other work on the machine hardly disturbs;
                                    waiting for the disk does not count
generate_64x64_two_workers, …       the same by two Ray tasks, against two Ray tasks of the network alone
layout_64x64, layout_28x28          images/s of the network alone as sets are made, in float32 with channels last,
                                    against float32 as it is loaded

The networks are DCGAN's of width 32, 3x64x64 and 1x28x28, with fresh weights.  Both sides are measured in turn.
Ray runs already, and its workers have begun: what that costs, about 8 s, is paid once however large the set.  Workers
have the niceness of this process, and not Ray's 15, for whatever else runs would slow down one side alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count

import numpy as np
import torch
from demo import hardware
from safetensors.torch import save_file

from gan_core.asked import NOISE, stream
from gan_core.bundle import BATCH, Generator, read_generator
from gan_core.manifest import artefact, tool_versions
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.store import Store
from gan_core.synthesis import Order, ShardWriter, in_precision
from gan_core.synthetic_set import begin, write_set
from pipelines.cluster import connect, stop_ray
from pipelines.on_ray_generate import on_ray_generate
from pipelines.profile import Profile

LATENT, WIDTH = 100, 32
SHAPES = {"64x64": (3, 64, 64), "28x28": (1, 28, 28)}
SHARDS = 4  # of a measurement, for each worker
AS_LOADED = "network(noise), float32 as it is loaded"

Rates = tuple[float, float]  # images a second, and a second of this process's CPU time
Side = Callable[[], Rates]


def main() -> None:
    """Prints one line a comparison."""
    names = [f"{kind}_{size}{suffix}" for size in SHAPES
             for kind, suffix in (("generate", ""), ("generate", "_two_workers"), ("layout", ""))]
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    cli.add_argument("--repeats", type=int, default=5, help="measurements of each side; default %(default)s")
    cli.add_argument("--seconds", type=float, default=3, help="of one measurement, about; default %(default)s")
    a = cli.parse_args()
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for name in a.only:
            kind, size, *more = name.split("_", 2)
            ours, other, other_is = compared(store, kind, size, 2 if more else 1, a.seconds)
            measured = [[side() for side in (ours, other)] for _ in range(a.repeats)]
            (wall, cpu), (other_wall, other_cpu) = np.median(measured, axis=0).tolist()
            report(name, wall, other_wall, "images/s", other_is)
            if kind == "generate" and not more:
                report(f"{name}_cpu", cpu, other_cpu, "images/s of CPU time", other_is)
        stop_ray()


def compared(store: Store, kind: str, size: str, workers: int, seconds: float) -> tuple[Side, Side, str]:
    """Both sides of a comparison, warm, and what the other one is."""
    if not store.exists(size):
        publish(store, size, SHAPES[size])
    loaded = read_generator(store, size)
    network = in_precision(loaded, "float32")
    alone = partial(forward, network, seconds)
    if kind == "layout":
        return alone, partial(forward, loaded.at(torch.float32), seconds), AS_LOADED
    images = int(alone()[0] * seconds / BATCH) * BATCH * workers
    order = Order(store=store.url, prefix=size, images=images, counts=(), seed=0, attributes=None, truncation=None,
                  precision="float32", shards=SHARDS * workers)
    other: Side = alone
    if workers > 1:
        connect(Profile(), workers)
        other = partial(forward_on_ray, network, workers, seconds)
    whole = partial(generate, ShardWriter(order, network, store, "set"), workers, count())
    for side in (whole, other):
        side()
    where = "one thread" if workers == 1 else f"in {workers} Ray tasks"
    return whole, other, f"network(noise), float32, channels last, {where}"


def generate(writer: ShardWriter, workers: int, runs: count[int]) -> Rates:
    """Of a set from its order to its manifest."""
    writer = replace(writer, prefix=f"set-{next(runs)}")
    start, cpu = time.perf_counter(), time.process_time()
    begin(writer.store, writer.prefix, "key")
    write_set(writer, key="key", parents=(), facts={}, place=on_ray_generate(Profile(), workers))
    took = time.perf_counter() - start, time.process_time() - cpu
    writer.store.delete(writer.prefix)
    return writer.order.images / took[0], writer.order.images / took[1]


def forward(generator: Generator, seconds: float) -> Rates:
    """Of the network alone on one thread, with noise that is there."""
    noise = torch.from_numpy(stream(0, NOISE).standard_normal((BATCH, LATENT))).float()
    torch.set_num_threads(1)
    images, start, cpu = 0, time.perf_counter(), time.process_time()
    with torch.inference_mode():
        while time.perf_counter() - start < seconds:
            generator.network(z=noise)
            images += BATCH
    return images / (time.perf_counter() - start), images / (time.process_time() - cpu)


def forward_on_ray(generator: Generator, workers: int, seconds: float) -> Rates:
    """Of as many networks alone, each by a Ray task, together."""
    import ray

    task = ray.remote(num_cpus=1)(forward)
    rates = ray.get([task.remote(generator, seconds) for _ in range(workers)])
    return sum(wall for wall, _ in rates), sum(cpu for _, cpu in rates)


def publish(store: Store, prefix: str, shape: tuple[int, int, int]) -> None:
    """A generator of fresh weights."""
    options = {"shape": shape, "latent": LATENT, "width": WIDTH}
    spec = GeneratorSpec(family="dcgan_generator", options=options, output=shape,
                         inputs={"z": InputSpec(shape=(LATENT,), distribution="normal")})
    with artefact(store, prefix, kind="version", key=prefix) as draft:
        save_file(spec.build().state_dict(), draft.path / "generator.safetensors")
        (draft.path / "generator.json").write_text(spec.model_dump_json())


def report(name: str, ours: float, other: float, unit: str, other_is: str) -> None:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    print(json.dumps({"name": name, "ours": round(ours), "other": round(other), "unit": unit,
                      "ratio": round(ours / other, 3), "other_is": other_is, "commit": commit,
                      "versions": tool_versions(), "hardware": hardware()}), flush=True)


if __name__ == "__main__":
    main()
