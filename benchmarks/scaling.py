"""From one worker to two: what each stage gains on this machine, and the parts that docs/scaling.md reckons with.

    python benchmarks/scaling.py [--only scale_train parts] [--repeats 3] >> benchmarks/results/DATE-scaling.jsonl
    python benchmarks/scaling_model.py --write

scale_prepare    images/s of a zip of 128 × 128 JPEG files brought to 64 × 64: Ray Data's two tasks against this process
scale_train      images/s of DCGAN 64 × 64, 64 images a step: two gloo workers of one thread against one
scale_evaluate   images/s made by a generator of 28 × 28 and seen by the domain network: Ray's tasks on two CPUs against
                 this process, after the first two blocks, which this process looks at either way
scale_generate   images/s of a synthetic set of 64 × 64: two Ray tasks against this process
parts            benchmarks/scaling_parts.py; figures alone, without another side

Both sides are measured in turn, with one thread for each CPU.  Ray runs already, its workers have begun, and have the
niceness of this process.  Takes about five minutes on two cores that do nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import generate
import torch
import train
from demo import hardware
from preparing import two_workers_against_one
from scaling_parts import a_look, parts

from gan_core.bundle import BATCH, read_generator
from gan_core.manifest import tool_versions
from gan_core.metrics.look import BLOCK, Looked
from gan_core.store import Store
from gan_core.synthesis import Order, ShardWriter, in_precision
from pipelines.cluster import connect, stop_ray
from pipelines.looks import Place, in_turn
from pipelines.on_ray_looks import WARM, on_ray_looks
from pipelines.profile import Profile

PREPARED, BLOCKS, MADE = 12_000, 18, 3_072
Rate = Callable[[], float]


def main() -> None:
    """Prints one line a comparison, and one a part."""
    curves = {"scale_prepare": prepared, "scale_evaluate": evaluated, "scale_generate": generated}
    names = [*curves, "scale_train", "parts"]
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    cli.add_argument("--repeats", type=int, default=3, help="measurements of each side; default %(default)s")
    a = cli.parse_args()
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling
    torch.set_num_threads(1)
    for name in (name for name in curves if name in a.only):
        with tempfile.TemporaryDirectory() as folder:
            report(name, *in_turns(*curves[name](Path(folder)), a.repeats))
    stop_ray()
    settings = train.Settings(torch.device("cpu"), a.repeats, ())
    if "scale_train" in a.only:
        report("scale_train", *train.two_workers_and_one(settings))
    if "parts" in a.only:
        for name, value, unit in parts(settings):
            print_line({"name": name, "ours": float(f"{value:.4g}"), "unit": unit})


def in_turns(two: Rate, one: Rate, repeats: int) -> tuple[float, float]:
    """Medians of both sides, each of which has begun before."""
    rates = [(two(), one()) for _ in range(repeats)]
    return median(rate for rate, _ in rates), median(rate for _, rate in rates)


def prepared(folder: Path) -> tuple[Rate, Rate]:
    return two_workers_against_one(folder, PREPARED)[:2]


def evaluated(folder: Path) -> tuple[Rate, Rate]:
    """Of all blocks but the first two, which this process looks at."""
    looking = a_look(Store(folder))
    generator = read_generator(looking.store, "28x28")

    def rate(place: Place) -> float:
        begun: list[float] = []

        def clocked(*asked: Any) -> Iterator[Looked]:
            for looked in place(*asked):
                yield looked
                begun.append(time.perf_counter())

        asked = {"label": None, "attributes": None}
        replace(looking, place=clocked).made(generator, "28x28", asked, BLOCKS * BLOCK, ("domain",))
        return (BLOCKS - WARM) * BLOCK / (begun[-1] - begun[WARM - 1])

    two = partial(rate, on_ray_looks(Profile(), worth=0))
    connect(Profile(), 2)
    two()
    return two, partial(rate, in_turn)


def generated(folder: Path) -> tuple[Rate, Rate]:
    store, runs = Store(folder), count()
    generate.publish(store, "64x64", generate.SHAPES["64x64"])
    network = in_precision(read_generator(store, "64x64"), "float32")
    order = Order(store=store.url, prefix="64x64", images=MADE // BATCH * BATCH, counts=(), seed=0, attributes=None,
                  truncation=None, precision="float32", shards=2 * generate.SHARDS)
    connect(Profile(), 2)

    def rate(workers: int) -> float:
        return generate.generate(ShardWriter(order, network, store, "set"), workers, runs)[0]

    rate(2)
    return partial(rate, 2), partial(rate, 1)


def report(name: str, two: float, one: float) -> None:
    print_line({"name": name, "ours": round(two), "other": round(one), "unit": "images/s", "ratio": round(two / one, 2),
                "other_is": "one worker", "load": round(os.getloadavg()[0], 1)})


def print_line(line: dict[str, object]) -> None:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True,
                            cwd=Path(__file__).parent).stdout.strip()
    told = {"commit": commit, "versions": tool_versions(), "hardware": hardware()}
    print(json.dumps(line | told), flush=True)


if __name__ == "__main__":
    main()
