"""What a step of training costs: the engine's against the plain loop's, measured in turn, as JSON lines.

    python benchmarks/train.py [--only dcgan64_b64_vs_plain] [--repeats 7] [--device cpu] [--set train.compile=true]

Ours is `Step.take` with the switches that the device gets by default: the batch is drawn from shards, uint8 to the
device and normalised there, noise is the draw's, gradients are looked at for what is not finite, and an average of the
generator is kept; of all of this the plain loop does nothing.  Networks, losses and optimizers are the same.

dcgan64_b64_vs_plain, dcgan64_b256_vs_plain, dcgan28_b128_vs_plain    images/s
ddp_2x1_vs_1x1      two gloo workers of one thread each against one, 64 images of 64 × 64 a step over all
data_wait_share     share of a step that waits for its batch, of dcgan64_b64
switch_…            dcgan64_b64 with one switch on against the same with it off
phase_…_share       share of a step that each of its phases takes
roofline_…          share of the least time: every operation of the step at the measured rate of matrix products or of
                    copies, whichever is longer; `other` is that least time in ms
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from demo import hardware
from plain_loop import plain_step, register, shape_of
from roofline import least_seconds
from torch.multiprocessing.spawn import spawn

from gan_core.config import Experiment, experiment_from, with_overrides
from gan_core.data.batches import Batches
from gan_core.data.shards import open_shards
from gan_core.data.source import Example, Source
from gan_core.data.write import write_shards
from gan_core.manifest import tool_versions
from gan_core.recipes.recipe import DataSpec, build_recipe
from gan_core.store import Store
from gan_core.train.curves import Curves
from gan_core.train.distributed import Workers
from gan_core.train.state import TrainState
from gan_core.train.step import Step
from gan_core.train.switches import Switches

EXAMPLES = 4096
SECONDS = 2.0  # that one measurement takes at least
WARM_UP = 3  # steps
R1 = "model={recipe: dcgan, conditional: false, width: 16, penalties: {r1: {every: %d}}}"
SWITCHES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # what is set with it, and without
    "bfloat16": ((), ("train.precision=float32",)),
    "channels_last": ((), ("train.channels_last=false",)),
    "compile": (("train.compile=true",), ()),
    "lazy_r1": ((R1 % 16,), (R1 % 1,)),
}


def main() -> None:
    """Prints one line a comparison."""
    register()
    comparisons: dict[str, Callable[[Settings], None]] = {
        "dcgan64_b64_vs_plain": lambda s: against_plain("dcgan64_b64_vs_plain", s, 64, 64),
        "dcgan64_b256_vs_plain": lambda s: against_plain("dcgan64_b256_vs_plain", s, 64, 256),
        "dcgan28_b128_vs_plain": lambda s: against_plain("dcgan28_b128_vs_plain", s, 28, 128),
        "ddp_2x1_vs_1x1": ddp,
        "shares": shares,
        **{f"switch_{name}": partial(switch, name) for name in SWITCHES},
    }
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--only", nargs="+", choices=[*comparisons], default=[*comparisons], metavar="NAME")
    cli.add_argument("--repeats", type=int, default=7, help="measurements of each side; default %(default)s")
    cli.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    cli.add_argument("--set", action="append", default=[], metavar="a.b=c", help="one setting of ours, repeatable")
    a = cli.parse_args()
    for name in a.only:
        comparisons[name](Settings(torch.device(a.device), a.repeats, tuple(a.set)))


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    device: torch.device
    repeats: int
    overrides: tuple[str, ...]

    def experiment(self, batch: int) -> Experiment:
        raw = {"name": "benchmark", "data": {"source": "digits"}, "model": {"recipe": "plain"},
               "train": {"batch": batch, "images": 10**9}}
        return experiment_from(with_overrides(raw, self.overrides))


class Noise(Source):
    """Random images."""

    side: int

    def splits(self) -> dict[str, int]:
        return {"train": EXAMPLES}

    def part(self, split: str, start: int, stop: int) -> Iterator[Example]:
        images = np.random.default_rng(start).integers(0, 256, (stop - start, *shape_of(self.side)), np.uint8)
        return (Example(image=image.transpose(1, 2, 0)) for image in images)


@contextmanager
def ours(settings: Settings, side: int, batch: int, workers: Workers) -> Iterator[tuple[Step, Curves]]:
    """The engine's step on shards of noise, with the threads that torch has."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        write_shards(Noise(side=side), store, "shards/noise", shard_examples=EXAMPLES, key="noise")
        shards, experiment = open_shards(store, "shards/noise"), settings.experiment(batch)
        recipe = build_recipe(experiment, DataSpec(shards.shape, 0))
        switches = Switches.resolved(experiment.train, settings.device, None)
        state = TrainState.fresh(recipe, 0, settings.device, switches)
        batches = Batches(shards.split("train"), seed=0, batch=batch, rank=workers.rank, world=workers.world,
                          device=settings.device)
        yield Step.of(experiment, recipe, batches, workers, state, switches), Curves()


def against_plain(name: str, settings: Settings, side: int, batch: int) -> None:
    plain = plain_step(side, batch, settings.device)
    with ours(settings, side, batch, Workers(0, 1, settings.device)) as (step, curves):
        sides = [lambda: step.take(curves), plain]
        measured = in_turn(sides, settings, batch)
        report(name, *measured, "the plain loop", unit="images/s")
        roofline = least_seconds(sides[0], settings.device)
        report(f"roofline_{name.removesuffix('_vs_plain')}", roofline * measured[0] / batch, None, "")


def switch(name: str, settings: Settings) -> None:
    """Ours with one switch on against ours with it off, all else at its default."""
    on, off = (replace(settings, overrides=(*settings.overrides, *given)) for given in SWITCHES[name])
    one = Workers(0, 1, settings.device)
    with ours(on, 64, 64, one) as (with_it, curves), ours(off, 64, 64, one) as (without, other_curves):
        measured = in_turn([lambda: with_it.take(curves), lambda: without.take(other_curves)], settings, 64)
    report(f"switch_{name}", *measured, "the same without it", unit="images/s")


def in_turn(sides: list[Callable[[], object]], settings: Settings, images: int) -> list[float]:
    """Medians of images/s of each side."""
    for side in sides:
        for _ in range(WARM_UP):
            side()
    return [statistics.median(rates) for rates in zip(
        *([rate(side, images, settings.device) for side in sides] for _ in range(settings.repeats)), strict=True)]


def rate(step: Callable[[], object], images: int, device: torch.device) -> float:
    """images/s over some steps."""
    done, start = 0, now(device)
    while (elapsed := now(device) - start) < SECONDS:
        step()
        done += images
    return done / elapsed


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def ddp(settings: Settings) -> None:
    report("ddp_2x1_vs_1x1", *two_workers_and_one(settings), "one worker of one thread", unit="images/s")


def two_workers_and_one(settings: Settings) -> tuple[float, float]:
    """Medians of images/s.  Both sides live all the time, each in processes of its own; while one is measured the other
    waits."""
    with tempfile.TemporaryDirectory() as folder:
        spawn(_ddp_worker, (settings, folder), nprocs=3)
        found = [json.loads(Path(f"{folder}/{side}.json").read_text()) for side in ("two", "one")]
    two, one = (statistics.median(rates) for rates in found)
    return two, one


def _ddp_worker(process: int, settings: Settings, folder: str) -> None:
    """Processes 0 and 1 are the two workers, process 2 the one."""
    register()
    torch.set_num_threads(1)
    turns = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False) if process == 0 else None
    if turns is not None:
        Path(f"{folder}/port.aside").write_text(str(turns.port))
        Path(f"{folder}/port.aside").rename(f"{folder}/port")
    while not Path(f"{folder}/port").exists():
        time.sleep(0.05)
    turns = turns or dist.TCPStore("127.0.0.1", int(Path(f"{folder}/port").read_text()), wait_for_workers=False)
    alone = process == 2
    if not alone:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=process, world_size=2,
                                timeout=timedelta(minutes=10))
    workers = Workers(0, 1, settings.device) if alone else Workers.current()
    rates = []
    with ours(settings, 64, 64, workers) as (step, curves):
        for turn in range(2 * (settings.repeats + 1)):
            turns.wait([f"done-{turn - 1}"], timedelta(minutes=10)) if turn else None
            if (turn % 2 == 1) != alone:
                continue
            start = time.perf_counter()
            steps = WARM_UP if turn < 2 else 6
            for _ in range(steps):
                step.take(curves)
            if not alone:
                dist.barrier()
            if turn >= 2:
                rates.append(64 * steps / (time.perf_counter() - start))
            if process != 1:
                turns.set(f"done-{turn}", "")
        turns.wait([f"done-{2 * settings.repeats + 1}"], timedelta(minutes=10))
    if process != 1:
        Path(f"{folder}/{'one' if alone else 'two'}.json").write_text(json.dumps(rates))
    if not alone:
        dist.destroy_process_group()


def shares(settings: Settings) -> None:
    """Where the time of a step goes.  Asynchronous devices are waited for, so the parts add up there too."""
    spent: dict[str, float] = {}

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            start = now(settings.device)
            found = work(*args, **named)
            spent[name] = spent.get(name, 0.0) + now(settings.device) - start
            return found

        return run

    with ours(settings, 64, 64, Workers(0, 1, settings.device)) as (step, curves):
        for _ in range(WARM_UP):
            step.take(curves)
        step.batches.at = timed("data_wait", step.batches.at)  # type: ignore[method-assign]
        step._with_common = timed("phase_common", step._with_common)  # type: ignore[method-assign]
        step.state.average = timed("phase_average", step.state.average)  # type: ignore[method-assign]
        whole = step._phase

        def phase(of: Any, *args: Any) -> None:
            timed(f"phase_{of.name}", whole)(of, *args)

        step._phase = phase  # type: ignore[method-assign]
        take, steps = timed("step", step.take), 20 * settings.repeats
        for _ in range(steps):
            take(curves)
    for name in sorted(spent.keys() - {"step"}):
        report(f"{name}_share", spent[name] / spent["step"], None, "")


def report(name: str, ours: float, other: float | None, other_is: str, unit: str = "") -> None:
    line: dict[str, object] = {"name": name, "ours": round(ours, 4) if ours < 1 else round(ours, 1)}
    if other is not None:
        line |= {"other": round(other, 1), "unit": unit, "ratio": round(ours / other, 2), "other_is": other_is}
    print(json.dumps(line | {"commit": commit(), "versions": tool_versions(), "hardware": hardware()}), flush=True)


def commit() -> str:
    import subprocess

    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True,
                           text=True, check=False)
    return found.stdout.strip()


if __name__ == "__main__":
    main()
