"""The measures that `evaluate.also` asks for, each by the file that defines it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.data.shards import Split
from gan_core.errors import DataError
from gan_core.metrics.between import sliced
from gan_core.metrics.class_accuracy import class_accuracy
from gan_core.metrics.class_histogram import class_histogram
from gan_core.metrics.evidence import Evidence, Features
from gan_core.metrics.few_examples import warning_of_few
from gan_core.metrics.figure import Figure, jackknifed, share
from gan_core.metrics.image_quality import ms_ssim_diversity
from gan_core.metrics.inception_score import inception_score
from gan_core.metrics.jackknife import jackknife_interval
from gan_core.metrics.judge import Judge
from gan_core.metrics.membership import membership_auc
from gan_core.metrics.memorisation import memorisation
from gan_core.metrics.networks import load_network
from gan_core.metrics.per_class import mean_fd, mean_fd_spread, per_class
from gan_core.metrics.representation import feature_diversity, linear_probe
from gan_core.options.feature_networks import INCEPTION_CLASSES, INCEPTION_NAME

Found = dict[str, tuple[Figure, Mapping[str, Any]]]
"""Figures by name, each with the network that it was measured by and what else is not as for the others."""

DOMAIN: Mapping[str, Any] = {"network": "domain"}
CLASSIFIER: Mapping[str, Any] = {"network": "classifier"}
DISCRIMINATOR: Mapping[str, Any] = {"network": "discriminator", "n_fake": 0}

SPLITS = 10  # of the Inception Score, as it was published; fewer where a part would have less than FEWEST images
FEWEST = 100
MOST_JUDGED = 10_000  # training examples, and as many held-out ones
MOST_PROBED = 2_000  # of either: a discriminator's features are many, 12,544 of DCGAN's at 28×28 pixels


def also_measured(evidence: Evidence) -> Found:
    """The metrics of `config.also_names`, in that order, between real and generated images.

    Without labels, inception_score_domain, class_kl, class_fd, class_accuracy and linear_probe are left out; class_fd
    and class_accuracy also of a generator that is asked for no class.  DataError, with advice, for images that a
    measure cannot take, and for what needs a discriminator where the evidence has none.  ConfigError for what is
    measured of translations.
    """
    evidence.config.refuse_without_translations()
    of = _Measures(evidence)
    measures: Mapping[str, Callable[[], Found]] = {
        "sliced_wasserstein": of.sliced_wasserstein, "inception_score": of.inception_score,
        "class_kl": of.class_kl, "ms_ssim": of.ms_ssim, "memorisation": of.memorisation,
        "class_fd": of.class_fd, "class_accuracy": of.class_accuracy, "feature_diversity": of.feature_diversity,
        "membership": of.membership, "linear_probe": of.linear_probe,
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
        found, generated = {}, self.evidence.generated
        if self.evidence.domain.facts.classes:
            found["inception_score_domain"] = self._score(self.evidence.domain.probabilities(generated)), DOMAIN
        if INCEPTION_NAME in self.evidence.config.networks:
            classes = load_network(INCEPTION_NAME, INCEPTION_CLASSES).features(
                self.evidence.views(generated))  # as they are: they sum to 1
            found[f"inception_score_{INCEPTION_NAME}"] = self._score(classes), {"network": INCEPTION_NAME}
        return found

    def _score(self, probabilities: Features) -> Figure:
        splits = max(1, min(SPLITS, len(probabilities) // FEWEST))
        score = inception_score(probabilities, splits, self.evidence.config.seed)
        return jackknifed(score.mean, score.interval, lowest=1.0, highest=float(probabilities.shape[1]))

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
            similar = ms_ssim_diversity(self.evidence.views(self.evidence.generated), self.evidence.requested,
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

    def class_accuracy(self) -> Found:
        evidence, labels, requested = self.evidence, self.evidence.labels, self.evidence.requested
        train = evidence.shards.split("train")
        if labels is None or requested is None or train.labels is None or evidence.shards.classes < 2:
            return {}
        found = class_accuracy(train, Split((evidence.real,), labels), evidence.generated, requested,
                               evidence.shards.classes, evidence.shards.form, evidence.config.seed)
        n = len(labels)
        return {"gan_train": (share(found.gan_train, n), CLASSIFIER),
                "gan_test": (share(found.gan_test, len(requested)), CLASSIFIER),
                "gan_real": (share(found.real, n), {**CLASSIFIER, "n_fake": 0})}

    def feature_diversity(self) -> Found:
        real, generated = self.evidence.features("domain")
        return {"feature_diversity_domain": (self._diversity(generated), {**DOMAIN, "n_real": 0}),
                "feature_diversity_real_domain": (self._diversity(real), {**DOMAIN, "n_fake": 0})}

    def _diversity(self, features: Features) -> Figure:
        value = feature_diversity(features)
        found = jackknife_interval(value, feature_diversity, features, seed=self.evidence.config.seed)
        return jackknifed(value, found, lowest=0.0, highest=4.0)

    def membership(self) -> Found:
        evidence, judge = self.evidence, self._judge("membership")
        train, held_out = evidence.shards.split("train"), evidence.shards.split(evidence.config.split)
        n = min(evidence.n, len(train), MOST_JUDGED)
        known, fresh = (judged(judge, split, spread(among, n)) for split, among in
                        ((train, len(train)), (held_out, evidence.n)))
        value = membership_auc(known, fresh)
        found = jackknife_interval(value, membership_auc, known, fresh, seed=evidence.config.seed)
        figure = jackknifed(value, found, lowest=0.0, highest=1.0)
        return {"membership_auc": (figure, {**DISCRIMINATOR, "n_real": n})}

    def linear_probe(self) -> Found:
        evidence, labels, judge = self.evidence, self.evidence.labels, self._judge("linear_probe")
        train = evidence.shards.split("train")
        if labels is None or train.labels is None:
            return {}
        learnt, asked = spread(len(train), MOST_PROBED), spread(evidence.n, MOST_PROBED)
        found = linear_probe(judge.features(train.gather(learnt)), np.asarray(train.labels, np.int64)[learnt],
                             judge.features(evidence.real[asked]), labels[asked])
        return {"linear_probe_discriminator": (share(found, len(asked)), {**DISCRIMINATOR, "n_real": len(asked)})}

    def _judge(self, asked: str) -> Judge:
        if self.evidence.judge is None:
            raise DataError(f"evaluate.also={asked} is measured of the discriminator, and there is none beside these "
                            "images; evaluate a run, or leave it out")
        return self.evidence.judge


def judged(judge: Judge, split: Split, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Logits [n] of these examples of a split, told to be what they are."""
    labels, attributes = split.labels, split.attributes
    return judge.logits(split.gather(rows), None if labels is None else np.asarray(labels, np.int64)[rows],
                        None if attributes is None else attributes[rows])


def spread(n: int, most: int) -> NDArray[np.int64]:
    """Indices of all n examples, or of `most` spread evenly over them: classes may lie sorted."""
    return np.arange(min(n, most)) * n // min(n, most)
