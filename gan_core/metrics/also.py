"""The measures that `evaluate.also` asks for, each by the file that defines it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gan_core.config import EvaluateConfig
from gan_core.data.shards import Shards
from gan_core.errors import DataError
from gan_core.metrics.agreement import classifier, training_subset
from gan_core.metrics.class_histogram import class_histogram
from gan_core.metrics.domain import DomainNetwork
from gan_core.metrics.image_quality import ms_ssim_diversity
from gan_core.metrics.inception_score import inception_score
from gan_core.metrics.memorisation import memorisation
from gan_core.metrics.per_class import mean_fd, per_class
from gan_core.metrics.seen import features_by
from gan_core.metrics.sliced_wasserstein import sliced_wasserstein

Found = dict[str, tuple[float, str]]
"""Values by name, each with the network that it was measured by."""

SPLITS = 10  # of the Inception Score, as it was published; fewer where a part would have less than FEWEST images
FEWEST = 100


def also_measured(
    shards: Shards, real: NDArray[np.uint8], generated: NDArray[np.uint8], requested: NDArray[np.int64] | None,
    config: EvaluateConfig, domain: DomainNetwork,
) -> Found:
    """The metrics of `config.also_names`, in that order, between real and generated images [n, C, H, W].

    requested: as of `measure`.  Without labels, inception_score, class_kl and class_fd are left out; class_fd also of a
    generator that is asked for no class.  DataError, with advice, for images that a measure cannot take.
    """
    told = _Told(shards, real, generated, requested, config, domain)
    measures: Mapping[str, Callable[[], Found]] = {
        "sliced_wasserstein": told.sliced_wasserstein, "inception_score": told.inception_score,
        "class_kl": told.class_kl, "ms_ssim": told.ms_ssim, "memorisation": told.memorisation,
        "class_fd": told.class_fd,
    }
    return {name: value for asked in dict.fromkeys(config.also) for name, value in measures[asked]().items()}


@dataclass(frozen=True)
class _Told:
    """What the measures are told."""

    shards: Shards
    real: NDArray[np.uint8]
    generated: NDArray[np.uint8]
    requested: NDArray[np.int64] | None
    config: EvaluateConfig
    domain: DomainNetwork

    @cached_property
    def labels(self) -> NDArray[np.int64] | None:
        """[n] of the real images."""
        labels = self.shards.split(self.config.split).labels
        return None if labels is None else np.asarray(labels[: len(self.real)], np.int64)

    def sliced_wasserstein(self) -> Found:
        found = {}
        for network in self.config.networks:
            seen = features_by(network, self.config, self.domain)
            distance = sliced_wasserstein(seen(self.real), seen(self.generated), seed=self.config.seed)
            found[f"sliced_wasserstein_{network}"] = distance, network
        return found

    def inception_score(self) -> Found:
        if not self.domain.facts.classes:
            return {}
        splits = max(1, min(SPLITS, len(self.generated) // FEWEST))
        score = inception_score(self.domain.probabilities(self.generated), splits, self.config.seed)
        return {"inception_score_domain": (score.mean, "domain")}

    def class_kl(self) -> Found:
        train = self.shards.split("train")
        if self.labels is None or train.labels is None:
            return {}
        chosen = training_subset(len(train))
        read = classifier(train.gather(chosen), np.asarray(train.labels)[chosen])(self.generated)
        kl = class_histogram(read, self.labels, self.shards.classes).kl
        if not math.isfinite(kl):
            raise DataError("evaluate.also=class_kl: images are read as classes of which the real images compared have "
                            "none, so that the divergence is infinite; raise evaluate.samples, or leave it out")
        return {"class_kl": (kl, "svc")}

    def ms_ssim(self) -> Found:
        try:
            similar = ms_ssim_diversity(self.generated, self.requested, seed=self.config.seed)
        except DataError as error:
            raise DataError(f"evaluate.also=ms_ssim: {error}; leave it out") from None
        return {"ms_ssim": (similar.value, "pixels")}

    def memorisation(self) -> Found:
        train = self.shards.split("train")
        features = self.domain.features
        held_out, made = features(self.real), features(self.generated)
        try:
            found = memorisation(features(train.images), held_out, made, seed=self.config.seed)
        except DataError as error:
            raise DataError(f"evaluate.also=memorisation: {error}; raise evaluate.samples, or leave it out") from None
        return {"memorisation_domain": (found.score, "domain")}

    def class_fd(self) -> Found:
        if self.labels is None or self.requested is None:
            return {}
        features = self.domain.features
        of_each = per_class(features(self.real), self.labels, features(self.generated), self.requested, k=self.config.k)
        return {"class_fd_domain": (mean_fd(of_each), "domain")}
