"""A long tail: digits of which the last class has 3 training examples and the first 128, sampled in different ways.

    python benchmarks/long_tail.py [--seeds 0 1 2] [--only natural balanced] [--imbalance 50] [--set train.images=51200]

natural, balanced         train.sampling
…_diffaugment             the same, and model.augment: {method: diffaugment}
whole                     natural, of all 1,257 training digits: what there is to reach
train_images              no generator: the cut training digits themselves, as often as their class is asked for

All are judged against the whole test split by what has seen the whole training split: one JSON line a run, lists by
class.  A class's coverage, recall and precision compare its real test digits with as many images that were asked for
as that class, on pixels, k = 5, balls among that class alone; agreement is the share that a classifier of the whole
training split reads as that class.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from demo import hardware
from numpy.typing import NDArray
from train import commit

from gan_core.bundle import read_generator
from gan_core.config import EvaluateConfig, Experiment, experiment_from, with_overrides
from gan_core.data.shards import Shards, Split, open_shards
from gan_core.data.source import source_of
from gan_core.data.write import write_shards
from gan_core.manifest import tool_versions
from gan_core.metrics.agreement import classifier
from gan_core.metrics.domain import DomainNetwork, train_domain
from gan_core.metrics.evaluate import measure
from gan_core.metrics.neighbours import neighbours
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from gan_core.train.loop import fit
from gan_core.train.report import Silent

K = 5
TAIL = 5  # classes from this one on are the tail: of 15 training examples down to 3
SETTINGS: dict[str, Any] = {
    "name": "long_tail",
    "model": {"recipe": "dcgan", "width": 32, "penalties": {"r1": {"gamma": 0.5}},
              "generator_optimizer": {"learning_rate": 5e-4}, "discriminator_optimizer": {"learning_rate": 5e-4}},
    "train": {"images": 51_200, "batch": 128, "ema_half_life": 2_000, "report_every": 12_800,
              "sample_every": 51_200, "checkpoint_every": 51_200},
}
DIFFAUGMENT = "model.augment={method: diffaugment}"
WAYS: dict[str, tuple[str, ...]] = {
    "natural": (),
    "balanced": ("train.sampling=balanced",),
    "natural_diffaugment": (DIFFAUGMENT,),
    "balanced_diffaugment": ("train.sampling=balanced", DIFFAUGMENT),
    "whole": ("data.imbalance=1",),
}


@dataclass(frozen=True)
class Judges:
    """What all runs are judged by.  whole: shards of all digits."""

    whole: Shards
    domain: DomainNetwork

    def scores(self, made: NDArray[np.uint8], asked: NDArray[np.int64]) -> dict[str, Any]:
        """made: [n, 1, 8, 8], an image for each digit of the test split.  asked: [n], its class."""
        total = measure(self.whole, made, asked, EvaluateConfig(k=K), self.domain)
        return {"total": {name: round(found.value, 4) for name, found in total.items()}, **self._by_class(made, asked)}

    def _by_class(self, made: NDArray[np.uint8], asked: NDArray[np.int64]) -> dict[str, Any]:
        test, train = self.whole.split("test"), self.whole.split("train")
        read = classifier(train.images, _labels(train))(made)
        found: dict[str, list[float]] = {"coverage": [], "recall": [], "precision": [], "agreement": []}
        for label in range(self.whole.classes):
            real, fake = test.images[_labels(test) == label], made[asked == label]
            near = neighbours(real.reshape(len(real), -1), fake.reshape(len(fake), -1), K)
            agreement = float((read[asked == label] == label).mean())
            for name, value in zip(found, (near.coverage, near.recall, near.precision, agreement), strict=True):
                found[name].append(round(value, 4))
        tails = {f"{name}_tail": round(float(np.mean(values[TAIL:])), 4) for name, values in found.items()}
        return {**found, **tails}


def main() -> None:
    """Prints one line a run."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--seeds", type=int, nargs="+", default=[0])
    cli.add_argument("--only", nargs="+", choices=[*WAYS, "train_images"], default=[*WAYS, "train_images"])
    cli.add_argument("--imbalance", type=float, default=50)
    cli.add_argument("--set", action="append", default=[])
    a = cli.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        whole = _shards(Store(folder), 1)
        judges = Judges(whole, train_domain(whole.split("train"), whole.form, whole.classes, 0,
                                            whole.split("validation")))
        if "train_images" in a.only:
            cut = _shards(Store(folder), a.imbalance).split("train")
            report("train_images", None, a.imbalance, _sizes(cut), judges.scores(*_repeated(cut, whole.split("test"))))
        for seed in a.seeds:
            for name in (way for way in WAYS if way in a.only):
                experiment = experiment_from(with_overrides(
                    {**SETTINGS, "seed": seed, "data": {"source": "digits", "imbalance": a.imbalance}},
                    (*WAYS[name], *a.set)))
                run_of(name, experiment, Store(folder), judges)


def run_of(name: str, experiment: Experiment, store: Store, judges: Judges) -> None:
    """Trains as an experiment says, and prints how it did."""
    imbalance: float = getattr(experiment.data, "imbalance")  # noqa: B009 - an option of digits
    shards, run = _shards(store, imbalance), f"runs/{name}-{experiment.seed}"
    fit(experiment, shards, RunPlace(store, run, name), Silent(), threads=1)
    asked = _labels(judges.whole.split("test"))
    made = read_generator(store, run).sample(len(asked), seed=0, label=asked)
    report(name, experiment, imbalance, _sizes(shards.split("train")), judges.scores(made, asked))


def report(
    name: str, experiment: Experiment | None, imbalance: float, sizes: list[int], scores: Mapping[str, Any]
) -> None:
    """One line: what was asked for, the training examples of each class, and the scores."""
    of = {} if experiment is None else {"seed": experiment.seed, "images": experiment.train.images}
    print(json.dumps({
        "name": f"long_tail_{name}", **of, "imbalance": imbalance, "train_sizes": sizes, **scores, "commit": commit(),
        "versions": tool_versions(), "hardware": hardware(),
    }), flush=True)


def _shards(store: Store, imbalance: float) -> Shards:
    """Digits so cut, written once."""
    prefix = f"shards/{imbalance:g}"
    if not store.exists(f"{prefix}/MANIFEST.json"):
        cut = experiment_from({**SETTINGS, "data": {"source": "digits", "imbalance": imbalance}})
        write_shards(source_of(cut), store, prefix, shard_examples=4096, key=prefix)
    return open_shards(store, prefix)


def _repeated(cut: Split, test: Split) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """For each test digit a training digit of its class, in turn."""
    asked, made = _labels(test), np.empty_like(test.images)
    for label in np.unique(asked):
        known = cut.images[_labels(cut) == label]
        wanted = np.flatnonzero(asked == label)
        made[wanted] = known[np.arange(len(wanted)) % len(known)]
    return made, asked


def _labels(split: Split) -> NDArray[np.int64]:
    return np.asarray(split.labels).astype(np.int64)


def _sizes(split: Split) -> list[int]:
    return [int(count) for count in np.bincount(_labels(split))]


if __name__ == "__main__":
    main()
