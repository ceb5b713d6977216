"""What many GPUs would bring, reckoned from the parts that benchmarks/scaling.py measured; docs/scaling.md shows it.

    python benchmarks/scaling_model.py             prints the tables
    python benchmarks/scaling_model.py --write     puts them into docs/scaling.md, and draws docs/pictures/scaling.svg

A step takes the longer of what a GPU computes and of what its process takes to ask for it, then the way of gradients
and of the norms' sums: with more than two workers our gradients are summed when the backward pass has come to them, and
nothing is computed meanwhile (`gan_core.train.distributed.mean_in_order`).  Nothing here has run on a GPU.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import ceil
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE, PICTURE = ROOT / "docs" / "scaling.md", ROOT / "docs" / "pictures" / "scaling.svg"
BEGIN, END = "<!-- printed by benchmarks/scaling_model.py -->", "<!-- until here -->"
GPUS, COUNTS = (1, 8, 64, 512), (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

# Assumptions; docs/scaling.md has the source of each.
FLOPS = 989e12 * 0.3  # of a GPU in a second: H100 SXM in bfloat16, of which convolutions are taken to use three tenths
NODE = 8  # GPUs
NVLINK = 195e9  # bytes a second from one GPU to another of its node
HOP = 5e-6  # seconds of a message from one GPU to the next
BUCKET = 25 * 2**20  # bytes of gradients that DDP sends together
FAILURES = 419 / (54 * 24 * 16_384)  # an hour and GPU
RESTART_S, INTERVAL_S = 30.0, 600.0  # from a death to training again; between checkpoints
UPLOAD = 256 * 2**20 / 2.459  # bytes a second, benchmarks/results/2026-11-28-store.jsonl
TASKS = 568  # that Ray starts in a second
MOST = 4096  # GPUs that are looked at
WORTH = 1.5  # times as fast, that twice the GPUs must be


@dataclass(frozen=True)
class Network:
    """What leaves a node.  rate: bytes a second of its eight GPUs together."""

    name: str
    rate: float


NETWORKS = (Network("100 Gb/s", 12.5e9), Network("3,200 Gb/s", 400e9))


@dataclass(frozen=True)
class System:
    """Counted by benchmarks/scaling_parts.py.  batch: of its configuration; sent: bytes that a worker gives all others
    in its messages of a step."""

    name: str
    label: str
    batch: int
    parameters: float
    flops: float
    calls: float
    messages: float
    sent: float
    checkpoint: float


@dataclass(frozen=True)
class Step:
    """Seconds of a step of n GPUs with so many images each.  asking: what the process takes to ask for all."""

    n: int
    images: int
    computing: float
    asking: float
    gradients: float
    norms: float

    @property
    def seconds(self) -> float:
        return max(self.computing, self.asking) + self.gradients + self.norms

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.n * self.images / self.seconds


def measured() -> Mapping[str, float]:
    """The newest value of each part."""
    lines = [json.loads(line) for path in sorted((ROOT / "benchmarks" / "results").glob("*-scaling.jsonl"))
             for line in path.read_text().splitlines()]
    return {line["name"]: line["ours"] for line in lines} | {
        f"{line['name']}_{told}": line[told] for line in lines for told in ("ratio", "load") if told in line}


def systems(parts: Mapping[str, float]) -> tuple[System, ...]:
    told = (("dcgan64", "DCGAN 64x64", 128), ("r3gan32", "R3GAN 32x32", 512),
            ("biggan256", "BigGAN 256x256", 256))
    counted = ("parameters", "flops", "calls", "messages", "message_bytes", "checkpoint")
    return tuple(System(name, label, batch, *(parts[f"{name}_{part}"] for part in counted))
                 for name, label, batch in told)


def step(system: System, n: int, images: int, network: Network, call: float) -> Step:
    """call: seconds of one of torch's calls."""
    return Step(n, images, images * system.flops / FLOPS, system.calls * call, gradients(system, n, network),
                norms(system, n, network))


def gradients(system: System, n: int, network: Network) -> float:
    """Each worker gives each other its stretch and takes the sums: (n − 1)/n of the bytes go each way."""
    size, hops = 4 * system.parameters, n - 1
    buckets = 2 + ceil(size / BUCKET)
    inside = 2 * hops / n * size / NVLINK
    if n <= NODE:
        return inside + 2 * hops * HOP * buckets
    given = NODE * size * (n - NODE) / n / network.rate  # everybody's stretches leave the node one by one
    taken = size * hops / n / network.rate  # sums go round in a ring, which leaves each node once
    return given + taken + 2 * hops * HOP * buckets


def norms(system: System, n: int, network: Network) -> float:
    """Each message goes round in a ring."""
    return (n - 1) * (system.messages * HOP + system.sent / (NVLINK if n <= NODE else network.rate))


def worth(rate: Callable[[int], float], most: int) -> int:
    """The number of GPUs at which twice as many are no longer worth it, in powers of two."""
    n = 1
    while n < most and rate(2 * n) >= WORTH * rate(n):
        n *= 2
    return n


def tables() -> Iterator[str]:
    parts = measured()
    call, all_systems = parts["call"] / 1e6, systems(parts)
    yield table("What a step moves and asks for",
                ("system", "parameters", "gradients", "norms' messages", "operations an image", "torch's calls",
                 "checkpoint", "its upload"),
                counted_rows(all_systems))
    yield table("One batch, dealt to more GPUs", HEAD, fixed_rows(all_systems, call))
    yield table("A batch that grows with the GPUs", HEAD, growing_rows(all_systems, call))
    yield table("Where twice the GPUs are less than 1.5 times as fast",
                ("system", *(f"{network.name} a node, {kind}" for network in NETWORKS
                             for kind in ("one batch", "growing batch"))),
                worth_rows(all_systems, call))
    yield table("Failures", ("GPUs", "hours between failures", "lost to restarts", "ten times as many failures"),
                failure_rows())
    yield table("Work that is spread in blocks", ("measured here", ""), spread_rows(parts))


HEAD = ("system", "GPUs", "batch", "images each", "computing", "asking", "gradients", "norms", "images/s", "of ideal")


def counted_rows(all_systems: tuple[System, ...]) -> Iterator[tuple[str, ...]]:
    for s in all_systems:
        yield (s.label, f"{s.parameters / 1e6:.1f} M", f"{4 * s.parameters / 1e6:.0f} MB",
               f"{s.messages:.0f}, {s.sent / 1e3:.0f} kB" if s.sent > 1e3 else f"{s.messages:.0f}",
               f"{s.flops / 1e9:,.0f} G", f"{s.calls:,.0f}", f"{s.checkpoint / 1e6:,.0f} MB",
               f"{s.checkpoint / UPLOAD:.0f} s")


def fixed_rows(all_systems: tuple[System, ...], call: float) -> Iterator[tuple[str, ...]]:
    for system in all_systems:
        for n in GPUS:
            if n > system.batch:
                yield (system.label, f"{n}", f"{system.batch}", "fewer than one", *[""] * 6)
            else:
                yield row(system, n, system.batch // n, system.batch, call)


def growing_rows(all_systems: tuple[System, ...], call: float) -> Iterator[tuple[str, ...]]:
    for system in all_systems:
        for n in GPUS[1:]:
            yield row(system, n, system.batch // NODE, system.batch // NODE, call)


def row(system: System, n: int, images: int, alone: int, call: float) -> tuple[str, ...]:
    """Over the faster network.  alone: images in a step of the one GPU that is compared with."""
    one = step(system, 1, alone, NETWORKS[1], call)
    made = step(system, n, images, NETWORKS[1], call)
    times = (made.computing, made.asking, made.gradients, made.norms)
    return (system.label, f"{n}", f"{n * images:,}", f"{images}", *(f"{1000 * t:,.1f} ms" for t in times),
            f"{made.rate:,.0f}", f"{made.rate / one.rate / n:.0%}")


def worth_rows(all_systems: tuple[System, ...], call: float) -> Iterator[tuple[str, ...]]:
    for system, asked in product(all_systems, (call, 0.0)):
        cells = []
        for network in NETWORKS:
            fixed = worth(lambda n, s=system, net=network, c=asked: step(s, n, s.batch // n, net, c).rate, system.batch)
            grown = worth(lambda n, s=system, net=network, c=asked: step(s, n, s.batch // NODE, net, c).rate, 4096)
            cells += [f"{fixed}", f"{grown}" if grown < MOST else f"beyond {MOST // 2:,}"]
        yield (f"{system.label}{'' if asked else ', if asking took no time'}", *cells)


def failure_rows() -> Iterator[tuple[str, ...]]:
    for n in GPUS[1:]:
        between = 1 / (FAILURES * n)
        lost = [(RESTART_S + INTERVAL_S / 2) / 3600 / between * times for times in (1, 10)]
        yield (f"{n}", f"{between:,.0f}", *(f"{share:.2%}" for share in lost))


def spread_rows(parts: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    block, asked = parts["block"], parts["block_asked"]
    yield ("a block of 256 images of 28x28, made and seen on one CPU", f"{block / 1000:.2f} s")
    yield ("the same block for the process that asks: noise drawn, sent, images taken", f"{asked:.2f} ms")
    yield ("CPUs that one asking process can keep at work", f"{block / asked:,.0f}")
    yield (f"CPUs that {TASKS} tasks a second keep at work", f"{block / 1000 * TASKS:,.0f}")
    yield ("images of 64x64 that a process reads from shards and normalises in a second", f"{parts['read']:,.0f}")
    for stage in ("prepare", "train", "evaluate", "generate"):
        if (ratio := parts.get(f"scale_{stage}_ratio")) is not None:
            load = parts[f"scale_{stage}_load"]
            yield (f"{stage}, two workers against one", f"{ratio:.2f} (load of the two cores {load:.0f})")


def table(title: str, head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join([f"**{title}**", "", *(f"| {' | '.join(cells)} |" for cells in lines), ""])


def draw() -> None:
    """How many times as fast as one GPU, by the number of GPUs."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "scaling"  # the same bytes each time
    from matplotlib import pyplot as plt

    parts = measured()
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
    for axis, title in zip(axes, ("one batch", "a batch that grows with the GPUs"), strict=True):
        axis.plot(COUNTS, COUNTS, color="0.7", linewidth=1, label="ideal")
        for colour, system in enumerate(systems(parts)):
            for call, style in ((parts["call"] / 1e6, "-"), (0.0, "--")):
                points = [(n, speed_up(system, n, title == "one batch", call)) for n in COUNTS
                          if title != "one batch" or n <= system.batch]
                axis.plot(*zip(*points, strict=True), style, color=f"C{colour}", marker=".",
                          label=f"{system.label}{'' if call else ', if asking took no time'}")
        axis.set(xscale="log", yscale="log", xlabel="GPUs", title=title)
        axis.set_xticks(COUNTS, [str(n) for n in COUNTS], minor=False)
        axis.minorticks_off()
    axes[0].set(ylabel="times the images/s of one GPU", ylim=(0.5, 1500))
    axes[1].legend(fontsize=7, loc="upper left")
    figure.savefig(PICTURE, metadata={"Date": None})


def speed_up(system: System, n: int, fixed: bool, call: float) -> float:
    """Against one GPU with the whole batch, or with the images that each has of a batch that grows."""
    images, alone = (system.batch // n, system.batch) if fixed else [system.batch // NODE] * 2
    return step(system, n, images, NETWORKS[1], call).rate / step(system, 1, alone, NETWORKS[1], call).rate


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--write", action="store_true", help="into docs/scaling.md, and draw docs/pictures/scaling.svg")
    made = "\n".join(tables())
    if not cli.parse_args().write:
        print(made)
        return
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    PAGE.write_text(f"{before}{begin}\n{made}{end}{after}")
    draw()


if __name__ == "__main__":
    main()
