"""The measures that `evaluate.also` asks for, each by the file that defines it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gan_core.errors import DataError
from gan_core.metrics.between import sliced
from gan_core.metrics.class_histogram import class_histogram
from gan_core.metrics.evidence import Evidence
from gan_core.metrics.few_examples import warning_of_few
from gan_core.metrics.figure import Figure, jackknifed
from gan_core.metrics.image_quality import ms_ssim_diversity
from gan_core.metrics.inception_score import inception_score
from gan_core.metrics.memorisation import memorisation
from gan_core.metrics.per_class import mean_fd, mean_fd_spread, per_class

Found = dict[str, tuple[Figure, Mapping[str, Any]]]
"""Figures by name, each with the network that it was measured by and what else is not as for the others."""

DOMAIN: Mapping[str, Any] = {"network": "domain"}

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
        seed = self.evidence.config.seed
        return {f"sliced_wasserstein_{network}": (sliced(*self.evidence.features(network), seed), {"network": network})
                for network in self.evidence.config.networks}

    def inception_score(self) -> Found:
        domain, generated = self.evidence.domain, self.evidence.generated
        if not domain.facts.classes:
            return {}
        splits = max(1, min(SPLITS, len(generated) // FEWEST))
        score = inception_score(domain.probabilities(generated), splits, self.evidence.config.seed)
        figure = jackknifed(score.mean, score.interval, lowest=1.0, highest=float(domain.facts.classes))
        return {"inception_score_domain": (figure, DOMAIN)}

    def class_kl(self) -> Found:
        labels = self.evidence.labels
        if labels is None or self.evidence.classify is None:
            return {}
        found = class_histogram(self.evidence.read, labels, self.evidence.shards.classes)
        if not math.isfinite(found.kl):
            raise DataError("evaluate.also=class_kl: images are read as classes of which the real images compared have "
                            "none, so that the divergence is infinite; raise evaluate.samples, or leave it out")
        return {"class_kl": (jackknifed(found.kl, found.interval, lowest=0.0), {"network": "svc"})}

    def ms_ssim(self) -> Found:
        try:
            similar = ms_ssim_diversity(self.evidence.generated, self.evidence.requested,
                                        seed=self.evidence.config.seed)
        except DataError as error:
            raise DataError(f"evaluate.also=ms_ssim: {error}; leave it out") from None
        figure = jackknifed(similar.value, similar.interval, lowest=0.0, highest=1.0)
        return {"ms_ssim": (figure, {"network": "pixels"})}

    def memorisation(self) -> Found:
        train = self.evidence.see_train("domain")
        try:
            found = memorisation(train, *self.evidence.features("domain"), seed=self.evidence.config.seed)
        except DataError as error:
            raise DataError(f"evaluate.also=memorisation: {error}; raise evaluate.samples, or leave it out") from None
        return {"memorisation_domain": (jackknifed(found.score, found.interval), DOMAIN)}

    def class_fd(self) -> Found:
        labels, requested, config = self.evidence.labels, self.evidence.requested, self.evidence.config
        if labels is None or requested is None:
            return {}
        real, fake = self.evidence.features("domain")
        of_each = per_class(real, labels, fake, requested, k=config.k)
        value, measured = mean_fd(of_each), [each for each in of_each if each.fd is not None]
        spread = mean_fd_spread(value, real, labels, fake, requested, [each.label for each in measured], config.seed)
        interval, bias = (None, None) if spread is None else (spread.interval, spread.bias)
        fewest = min(min(each.n_real, each.n_fake) for each in measured)
        warning = warning_of_few(fewest, real.shape[1], bias, samples=self.evidence.n,
                                 most=len(self.evidence.shards.split(config.split)), what="images of a class")
        return {"class_fd_domain": (jackknifed(value, interval, lowest=0.0, warning=warning), DOMAIN)}
