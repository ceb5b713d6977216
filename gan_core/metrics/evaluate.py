"""Every metric of one generator on one split, with as many generated images as real ones.

    wanted = requested_labels(shards, config)
    scores = measure(shards, generator_images(wanted), wanted, config, domain)

The real images are the first n of the split in stored order, n being `config.samples` or the whole split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat

from gan_core.config import NEIGHBOUR_METRICS, Config, EvaluateConfig
from gan_core.data.shards import Shards, Split
from gan_core.metrics.agreement import class_agreement
from gan_core.metrics.also import also_measured
from gan_core.metrics.between import frechet, kernel, nearby
from gan_core.metrics.domain import DomainNetwork
from gan_core.metrics.evidence import Evidence, See, compared_count, evidence_of
from gan_core.metrics.figure import share
from gan_core.metrics.neighbours import neighbours
from gan_core.metrics.seen import stated

CLASS_AGREEMENT = "class_agreement"


class Measured(Config):
    """One metric's value with what it takes to measure it again.

    network: what the images went through ('domain', 'pixels', 'svc', …).  k: neighbours, where the metric has
    them.  subsets, subset_size: those of the kernel distance, as evaluated.  sha256, resizer: of a network in a file.
    low, high: where other draws of as many examples put it, as often as level says; None where there are fewer than 20.
    interval: by Wilson's formula for a share, or from what groups of examples make of it.  warning: one sentence.
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
    interval: Literal["wilson", "jackknife"] | None = None
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
    most = len(evidence.shards.split(config.split))
    measured = compared(evidence.see_real, evidence.see_generated, config, evidence.terms, most)
    if requested is not None and evidence.classify is not None:
        figure = share(class_agreement(evidence.read, requested), len(requested))
        measured[CLASS_AGREEMENT] = Measured(network=evidence.reader.name, **figure.fields(), **evidence.terms)
    for name, (figure, how) in also_measured(evidence).items():
        terms = {**stated(how["network"], config), **evidence.terms, **how}
        measured[name] = Measured(**figure.fields(), **terms)
    return measured


def compared(
    real: See, generated: See, config: EvaluateConfig, terms: Mapping[str, Any], most: int
) -> dict[str, Measured]:
    """The metrics between as many real as generated images that `config.metric_names` lists.

    terms: of both.  most: how many of either there could be.
    """
    measured: dict[str, Measured] = {}
    for network in config.networks:
        wanted = [name for name in config.feature_metrics if name.endswith(f"_{network}")]
        how = {**terms, "network": network, **stated(network, config)}
        measured |= _by_features(real(network), generated(network), wanted, config, how, most)
    return measured


def _by_features(
    real: NDArray[Any], fake: NDArray[Any], names: list[str], config: EvaluateConfig, terms: Mapping[str, Any],
    most: int,
) -> dict[str, Measured]:
    """The named metrics between two sets of features [n, d]."""
    near = neighbours(real, fake, config.k)
    measured = {}
    for name in names:
        measure_name = name.removesuffix(f"_{terms['network']}")
        if measure_name in NEIGHBOUR_METRICS:
            figure = nearby(near, measure_name, len(real), len(fake))
            measured[name] = Measured(k=config.k, **figure.fields(), **terms)
        elif measure_name == "fd":
            measured[name] = Measured(**frechet(real, fake, most).fields(), **terms)
        else:
            measured[name] = _kernel(real, fake, config, terms)
    return measured


def _kernel(
    real: NDArray[Any], fake: NDArray[Any], config: EvaluateConfig, terms: Mapping[str, Any]
) -> Measured:
    size = min(config.kid_subset_size, len(real))
    subsets = config.kid_subsets if size < len(real) else 1
    figure = kernel(real, fake, subsets=subsets, subset_size=size, seed=config.seed)
    return Measured(subsets=subsets, subset_size=size, **figure.fields(), **terms)
