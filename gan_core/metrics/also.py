"""The measures that `evaluate.also` asks for, each by the file that defines it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gan_core.errors import DataError
from gan_core.metrics.agreement import classifier, training_subset
from gan_core.metrics.class_histogram import class_histogram
from gan_core.metrics.evidence import Evidence
from gan_core.metrics.image_quality import ms_ssim_diversity
from gan_core.metrics.inception_score import inception_score
from gan_core.metrics.memorisation import memorisation
from gan_core.metrics.per_class import mean_fd, per_class
from gan_core.metrics.sliced_wasserstein import sliced_wasserstein

Found = dict[str, tuple[float, str]]
"""Values by name, each with the network that it was measured by."""

SPLITS = 10  # of the Inception Score, as it was published; fewer where a part would have less than FEWEST images
FEWEST = 100


def also_measured(evidence: Evidence) -> Found:
    """The metrics of `config.also_names`, in that order, between real and generated images.

    Without labels, inception_score, class_kl and class_fd are left out; class_fd also of a generator that is asked for
    no class.  DataError, with advice, for images that a measure cannot take.
    """
    of = _Measures(evidence)
    measures: Mapping[str, Callable[[], Found]] = {
        "sliced_wasserstein": of.sliced_wasserstein, "inception_score": of.inception_score,
        "class_kl": of.class_kl, "ms_ssim": of.ms_ssim, "memorisation": of.memorisation,
        "class_fd": of.class_fd,
    }
    return {name: value for asked in dict.fromkeys(evidence.config.also) for name, value in measures[asked]().items()}


@dataclass(frozen=True)
class _Measures:
    """Each by its name in the settings."""

    evidence: Evidence

    def sliced_wasserstein(self) -> Found:
        found = {}
        for network in self.evidence.config.networks:
            distance = sliced_wasserstein(*self.evidence.features(network), seed=self.evidence.config.seed)
            found[f"sliced_wasserstein_{network}"] = distance, network
        return found

    def inception_score(self) -> Found:
        domain, generated = self.evidence.domain, self.evidence.generated
        if not domain.facts.classes:
            return {}
        splits = max(1, min(SPLITS, len(generated) // FEWEST))
        score = inception_score(domain.probabilities(generated), splits, self.evidence.config.seed)
        return {"inception_score_domain": (score.mean, "domain")}

    def class_kl(self) -> Found:
        train, labels = self.evidence.shards.split("train"), self.evidence.labels
        if labels is None or train.labels is None:
            return {}
        chosen = training_subset(len(train))
        read = classifier(train.gather(chosen), np.asarray(train.labels)[chosen])(self.evidence.generated)
        kl = class_histogram(read, labels, self.evidence.shards.classes).kl
        if not math.isfinite(kl):
            raise DataError("evaluate.also=class_kl: images are read as classes of which the real images compared have "
                            "none, so that the divergence is infinite; raise evaluate.samples, or leave it out")
        return {"class_kl": (kl, "svc")}

    def ms_ssim(self) -> Found:
        try:
            similar = ms_ssim_diversity(self.evidence.generated, self.evidence.requested,
                                        seed=self.evidence.config.seed)
        except DataError as error:
            raise DataError(f"evaluate.also=ms_ssim: {error}; leave it out") from None
        return {"ms_ssim": (similar.value, "pixels")}

    def memorisation(self) -> Found:
        train = self.evidence.see_train("domain")
        try:
            found = memorisation(train, *self.evidence.features("domain"), seed=self.evidence.config.seed)
        except DataError as error:
            raise DataError(f"evaluate.also=memorisation: {error}; raise evaluate.samples, or leave it out") from None
        return {"memorisation_domain": (found.score, "domain")}

    def class_fd(self) -> Found:
        labels, requested = self.evidence.labels, self.evidence.requested
        if labels is None or requested is None:
            return {}
        real, fake = self.evidence.features("domain")
        of_each = per_class(real, labels, fake, requested, k=self.evidence.config.k)
        return {"class_fd_domain": (mean_fd(of_each), "domain")}
