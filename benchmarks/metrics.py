"""What metrics cost: ours and another way, measured in turn, as JSON lines.

    python benchmarks/metrics.py [--only fd2048_vs_sqrtm] [--repeats 5] [--samples 10000]

fd64_vs_sqrtm, fd512_vs_sqrtm, fd2048_vs_sqrtm
                          s of tr (Σa Σb)^½, the part of the Fréchet distance that takes time, of covariances of that
                          many features over twice as many examples and a few, against scipy.linalg.sqrtm of Σa Σb
fd2048_vs_torchmetrics    the same against torchmetrics' formula: the sum of the roots of torch.linalg.eigvals of Σa Σb
prdc_10000                s of precision, recall, density and coverage of 10,000 examples against as many, 64 float32
                          features, against whole matrices of distances in numpy
prdc_10000_pixels         the same of 784 pixel levels, uint8
evaluate_10000            s of all that evaluate measures of a generator by default, benchmarks/evaluating.py, of 10,000
                          samples and as many real images; ours alone
evaluate_10000_generate, evaluate_10000_features, evaluate_10000_metrics
                          the parts of that: the generator, the feature network, the rest
…_peak                    MiB that a process of its own holds at its peak, Python, numpy and what it imports included

ratio: how many times faster, or smaller, ours is.  Both sides have float64 and all threads, and must agree.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, astuple, dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from demo import hardware
from numpy.typing import NDArray

from gan_core.manifest import tool_versions
from gan_core.metrics.frechet import trace_of_root
from gan_core.metrics.moments import Moments
from gan_core.metrics.neighbours import Neighbours, neighbours

SECONDS = 0.3  # that one measurement of a trace takes at least
POINTS, K = 10_000, 5

T = TypeVar("T")
Trace = Callable[[NDArray[np.float64], NDArray[np.float64]], float]
Shares = Callable[[NDArray[Any], NDArray[Any], int], Neighbours]


def main() -> None:
    """Prints one line a comparison, two where memory is compared as well."""
    roots = partial(traces, other=by_sqrtm, other_is="scipy.linalg.sqrtm")
    comparisons: dict[str, Callable[..., None]] = {
        "fd64_vs_sqrtm": partial(roots, 64),
        "fd512_vs_sqrtm": partial(roots, 512),
        "fd2048_vs_sqrtm": partial(roots, 2048),
        "fd2048_vs_torchmetrics": partial(traces, 2048, other=by_eigvals,
                                          other_is="torchmetrics' formula, torch.linalg.eigvals in float64"),
        "prdc_10000": partial(shares, pixels=False),
        "prdc_10000_pixels": partial(shares, pixels=True),
        "evaluate_10000": lambda name, repeats: evaluation(a.samples, repeats),
    }
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--only", nargs="+", choices=[*comparisons], default=[*comparisons], metavar="NAME")
    cli.add_argument("--repeats", type=int, default=5, help="measurements of each side; default %(default)s")
    cli.add_argument("--samples", type=int, default=POINTS, help="of evaluate_10000, which is then named for them")
    a = cli.parse_args()
    for name in a.only:
        comparisons[name](name=name, repeats=a.repeats)


def traces(features: int, *, other: Trace, other_is: str, name: str, repeats: int) -> None:
    first, second = covariance(features, seed=0), covariance(features, seed=1)
    sides = [partial(trace, first, second) for trace in (trace_of_root, other)]
    found = [side() for side in sides]
    assert math.isclose(*found, rel_tol=1e-6), f"{found} are not one trace"
    measured = [[seconds(side) for side in sides] for _ in range(repeats)]
    ours, theirs = np.median(measured, axis=0)
    report(name, ours, theirs, other_is, "s")


def covariance(features: int, seed: int) -> NDArray[np.float64]:
    """[d, d], of 2 d + 16 normal examples, each feature with a spread of its own."""
    draw = np.random.default_rng(seed)
    return Moments.of(draw.normal(size=(2 * features + 16, features)) * draw.uniform(0.3, 2, features)).covariance


def by_sqrtm(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    from scipy.linalg import sqrtm

    return float(np.trace(sqrtm(first @ second)).real)


def by_eigvals(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    import torch  # here only: processes that measure memory do without it

    product = torch.from_numpy(first) @ torch.from_numpy(second)
    return float(torch.linalg.eigvals(product).sqrt().real.sum())


def seconds(work: Callable[[], object]) -> float:
    """Mean over as many calls as SECONDS take."""
    calls, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < SECONDS or not calls:
        work()
        calls += 1
    return elapsed / calls


def shares(*, pixels: bool, name: str, repeats: int) -> None:
    """Each measurement in a process of its own, whose peak is then that side's."""
    sides = (neighbours, whole_matrices)
    measured = [[alone(measured_here, side, pixels) for side in sides] for _ in range(repeats)]
    for ours, theirs in measured:
        assert np.allclose(ours.found, theirs.found, atol=1e-3), f"{ours.found} and {theirs.found} are not of one set"
    for suffix, what, unit in (("", "seconds", "s"), ("_peak", "peak", "MiB")):
        medians = np.median([[getattr(side, what) for side in sides] for sides in measured], axis=0)
        report(name + suffix, medians[0], medians[1], "whole matrices of distances in numpy", unit)


@dataclass(frozen=True)
class Measured:
    """peak: MiB.  found: precision, recall, density, coverage."""

    seconds: float
    peak: float
    found: tuple[float, ...]


def alone(work: Callable[..., T], *given: object) -> T:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, *given).result()


def measured_here(side: Shares, pixels: bool) -> Measured:
    draw = np.random.default_rng(0)
    real: NDArray[Any]
    if pixels:
        real, fake = draw.integers(0, 256, (2, POINTS, 784), np.uint8)
    else:
        real, fake = draw.standard_normal((2, POINTS, 64), np.float32)
    start = time.perf_counter()
    found = side(real, fake, K)
    elapsed = time.perf_counter() - start
    return Measured(elapsed, peak(), astuple(found))


def peak() -> float:
    """MiB that this process has held at most."""
    status = Path("/proc/self/status").read_text().splitlines()
    (held,) = (line.split()[1] for line in status if line.startswith("VmHWM"))
    return int(held) / 1024


def whole_matrices(real: NDArray[Any], fake: NDArray[Any], k: int) -> Neighbours:
    """The definition, with every distance in memory."""

    def between(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * (x @ y.T))

    x, y = real.astype(np.float64), fake.astype(np.float64)
    x_reach, y_reach = (np.partition(between(some, some), k, axis=1)[:, k] for some in (x, y))  # itself comes first
    across = between(x, y)
    inside = across <= x_reach[:, None]
    return Neighbours(precision=float(inside.any(axis=0).mean()), recall=float((across <= y_reach).any(axis=1).mean()),
                      density=float(inside.sum(axis=0).mean()) / k, coverage=float(inside.any(axis=1).mean()))


def evaluation(samples: int, repeats: int) -> None:
    """Each evaluation in a process of its own."""
    measured = [alone(evaluated_here, samples) for _ in range(repeats)]
    for part in measured[0]:
        ours = float(np.median([one[part] for one in measured]))
        report(f"evaluate_{samples}{part}", ours, None, "", "MiB" if part == "_peak" else "s")


def evaluated_here(samples: int) -> dict[str, float]:
    """By the suffix of its name: seconds of all and of each part, and the peak."""
    from evaluating import evaluated  # here only: it imports torch

    parts = {f"_{part}": seconds for part, seconds in asdict(evaluated(samples)).items()}
    return {"": sum(parts.values()), **parts, "_peak": peak()}


def report(name: str, ours: float, other: float | None, other_is: str, unit: str) -> None:
    """One figure, beside another's where there is one, with what it was measured on."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True,
                            text=True, check=False)
    beside = {} if other is None else {"other": float(f"{other:.3g}"), "ratio": round(other / ours, 2),
                                       "other_is": other_is}
    print(json.dumps({
        "name": name, "ours": float(f"{ours:.3g}"), "unit": unit, **beside, "commit": commit.stdout.strip(),
        "versions": tool_versions() | {"scipy": version("scipy")}, "hardware": hardware(),
    }), flush=True)


if __name__ == "__main__":
    main()
