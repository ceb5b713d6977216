"""All that evaluate measures of a generator by default, and where its time goes; benchmarks/metrics.py runs it.

The generator is the DCGAN that a run with these settings publishes, 28×28, width 64, told of 10 classes, with its first
weights.  Real images are of 10 classes: a fixed picture each, half drowned in noise.  What evaluate writes is left out.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gan_core.bundle import Generator
from gan_core.config import experiment_from
from gan_core.data.shards import Shards, open_shards
from gan_core.data.source import Example, Source
from gan_core.data.write import write_shards
from gan_core.metrics.domain import DomainNetwork, train_domain
from gan_core.metrics.evaluate import measure, requested_labels
from gan_core.recipes.recipe import DataSpec, build_recipe
from gan_core.store import Store

SHAPE, CLASSES, SIDE = (1, 28, 28), 10, 28
TAUGHT = 12_800  # images that the feature network is trained on, before the clock runs
EXPERIMENT = experiment_from({"name": "evaluate", "data": {"source": "digits"},
                              "model": {"recipe": "dcgan", "width": 64}})


class Drowned(Source):
    """`count` images a split, whose classes go round."""

    source: str = "drowned"
    count: int

    def splits(self) -> Mapping[str, int]:
        return {"train": self.count, "test": self.count}

    def part(self, split: str, start: int, stop: int) -> Iterator[Example]:
        pictures = np.random.default_rng(0).integers(0, 128, (CLASSES, SIDE, SIDE), np.uint8)
        for i in range(start, stop):
            noise = np.random.default_rng([len(split), i]).integers(0, 128, (SIDE, SIDE), np.uint8)
            yield Example(pictures[i % CLASSES] + noise, label=i % CLASSES)


@dataclass(frozen=True)
class Seconds:
    """Of one evaluation.  metrics: what is neither the generator's nor the feature network's."""

    generate: float
    features: float
    metrics: float


def evaluated(samples: int) -> Seconds:
    """As the evaluate stage does it: as many images as the test split has, of its classes, and every default metric."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        write_shards(Drowned(count=samples), store, "shards", shard_examples=samples, key="drowned")
        shards = open_shards(store, "shards")
        generator = a_generator()
        network = train_domain(shards.split("train"), shards.form, CLASSES, seed=0, most=TAUGHT)
        return of_parts(generator, shards, network)


def of_parts(generator: Generator, shards: Shards, network: DomainNetwork) -> Seconds:
    looking: list[float] = []

    class Clocked(DomainNetwork):
        def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            start = time.perf_counter()
            found = super().features(images)
            looking.append(time.perf_counter() - start)
            return found

    config = EXPERIMENT.evaluate
    labels = requested_labels(shards, config)
    start = time.perf_counter()
    images = generator.sample(len(shards.split(config.split)), seed=config.seed, label=labels)
    made = time.perf_counter()
    found = measure(shards, images, labels, config, Clocked(network.facts, network.network))
    done = time.perf_counter()
    assert list(found) == list(config.metric_names)
    return Seconds(made - start, sum(looking), done - made - sum(looking))


def a_generator() -> Generator:
    """In float64, as a bundle is loaded."""
    torch.manual_seed(0)
    _, spec = build_recipe(EXPERIMENT, DataSpec(SHAPE, CLASSES)).published()
    return Generator("evaluate", spec, spec.build().double().eval())
