"""Every metric of one generator on one split, with as many generated images as real ones.

    wanted = requested_labels(shards, config)
    scores = measure(shards, generator_images(wanted), wanted, config, domain)

The real images are the first n of the split in stored order, n being `config.samples` or the whole split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat

from gan_core.config import NEIGHBOUR_METRICS, Config, EvaluateConfig
from gan_core.data.shards import Shards, Split
from gan_core.metrics.agreement import class_agreement, training_subset
from gan_core.metrics.also import also_measured
from gan_core.metrics.domain import DomainNetwork
from gan_core.metrics.evidence import Evidence, See, compared_count, evidence_of
from gan_core.metrics.frechet import frechet_distance
from gan_core.metrics.kernel import kernel_distance
from gan_core.metrics.moments import Moments
from gan_core.metrics.neighbours import neighbours
from gan_core.metrics.seen import stated

CLASS_AGREEMENT = "class_agreement"


class Measured(Config):
    """One metric's value with what it takes to measure it again.

    network: what the images went through ('domain', 'pixels', 'svc', …).  k: neighbours, where the metric has
    them.  subsets, subset_size: those of the kernel distance, as evaluated.  sha256, resizer: of a network in a file.

    low, high: between which the value lies with a confidence of `level` (0.95), by the method that `interval` names
    ('wilson', 'jackknife', 'bootstrap').  warning: a sentence, where there are too few images for the network's
    dimension.  None of these is a term of the measurement: numbers with other intervals are still comparable.
    """

    value: FiniteFloat
    n_real: int
    n_fake: int
    split: str
    network: str
    seed: int
    k: int | None = None
    subsets: int | None = None
    subset_size: int | None = None
    sha256: str | None = None
    resizer: str | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    level: float | None = None
    interval: str | None = None
    warning: str | None = None


def requested_labels(shards: Shards, config: EvaluateConfig) -> NDArray[np.int64] | None:
    """The labels [n] of the real examples that `measure` compares with; None where the set has none.

    A generator asked for these makes the classes as often as the split has them.  DataError as in `measure`.
    """
    n = compared_count(shards, config)
    labels = shards.split(config.split).labels
    return None if labels is None else labels[:n].astype(np.int64)


def requested_attributes(shards: Shards, config: EvaluateConfig, names: Sequence[str]) -> NDArray[np.float32]:
    """Those attributes, [n, A], of the real examples that `measure` compares with.  DataError as in `measure`."""
    return attributes_of(shards.split(config.split), names)[: compared_count(shards, config)]


def attributes_of(split: Split, names: Sequence[str]) -> NDArray[np.float32]:
    """[N, A]: a split's attributes of these names, in their order."""
    known = split.attributes
    assert known is not None, "a generator's attributes are those of the shards it was trained on"
    return known[:, [split.attribute_names.index(name) for name in names]]


def measure(
    shards: Shards,
    generated: NDArray[np.uint8],
    requested: NDArray[np.int64] | None,
    config: EvaluateConfig,
    domain: DomainNetwork,
) -> dict[str, Measured]:
    """The metrics that `config.metric_names` lists, in that order.

    generated: [n, C, H, W] uint8.  requested: [n], the class each was asked for; None from a generator that
    takes none, or attributes, and then, as for a data set without labels, class_agreement is left out.  DataError, with
    advice, when the split is smaller than `config.samples`, when n ≤ k, and when `generated` is not n images
    of the set's shape.
    """
    return measured_by(evidence_of(shards, generated, requested, config, domain))


def measured_by(evidence: Evidence) -> dict[str, Measured]:
    """The same of what was seen already."""
    config, requested = evidence.config, evidence.requested
    measured = compared(evidence.see_real, evidence.see_generated, config, evidence.terms)
    if requested is not None and evidence.shards.split("train").labels is not None:
        agreement = _agreement(evidence.shards, evidence.generated, requested)
        measured[CLASS_AGREEMENT] = Measured(value=agreement, network="svc", **evidence.terms)
    for name, (value, network) in also_measured(evidence).items():
        measured[name] = Measured(value=value, network=network, **stated(network, config), **evidence.terms)
    return measured


def compared(real: See, generated: See, config: EvaluateConfig, terms: Mapping[str, Any]) -> dict[str, Measured]:
    """The metrics between as many real as generated images that `config.metric_names` lists.  terms: of both."""
    measured: dict[str, Measured] = {}
    for network in config.networks:
        wanted = [name for name in config.feature_metrics if name.endswith(f"_{network}")]
        how = {"network": network, **stated(network, config)}
        measured |= _by_features(real(network), generated(network), wanted, config, {**terms, **how})
    return measured


def _by_features(
    real: NDArray[Any], fake: NDArray[Any], names: list[str], config: EvaluateConfig, terms: Mapping[str, Any]
) -> dict[str, Measured]:
    """The named metrics between two sets of features [n, d]."""
    near = neighbours(real, fake, config.k)
    measured = {}
    for name in names:
        measure_name = name.removesuffix(f"_{terms['network']}")
        if measure_name in NEIGHBOUR_METRICS:
            measured[name] = Measured(value=getattr(near, measure_name), k=config.k, **terms)
        elif measure_name == "fd":
            measured[name] = Measured(value=frechet_distance(Moments.of(real), Moments.of(fake)), **terms)
        else:
            measured[name] = _kernel(real, fake, config, terms)
    return measured


def _kernel(
    real: NDArray[Any], fake: NDArray[Any], config: EvaluateConfig, terms: Mapping[str, Any]
) -> Measured:
    size = min(config.kid_subset_size, len(real))
    subsets = config.kid_subsets if size < len(real) else 1
    distance = kernel_distance(real, fake, subsets=subsets, subset_size=size, seed=config.seed)
    return Measured(value=distance, subsets=subsets, subset_size=size, **terms)


def _agreement(shards: Shards, generated: NDArray[np.uint8], requested: NDArray[np.int64]) -> float:
    train = shards.split("train")
    chosen = training_subset(len(train))
    labels = np.asarray(train.labels)[chosen]
    return class_agreement(train.gather(chosen), labels, generated, requested)
