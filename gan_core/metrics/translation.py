"""Metrics of a generator that translates images of one domain to another and back.

    scores = measure_translation(shards, translate, config, domain)

The images of domain a are translated to b and compared with real images of b, by the metrics of every generator, and
their classes with those before: a classifier that knows real images of b alone is asked for the class of each.

    class_agreement    share of translations a → b that it puts into the class of the image they were made of
    agreement_before   the same share of those images as they were, not translated
    agreement_real     the same share of real images of b: what a perfect translation would reach, not 1
    adaptation         with evaluate.also=adaptation: share of real images of b that a classifier reads rightly which
                       learned from training images of a, translated to b, alone
    adaptation_before  the same where it learned from these as they were; agreement_real is what both can reach
    cycle_error_a      mean absolute error of a → b → a, pixels going from 0 to 1
    cycle_error_b      the same of b → a → b
    cycle_psnr_a, …    with evaluate.also=image_quality: mean PSNR in dB (an image that comes back whole counts as 58.9)
    cycle_ssim_a, …    and mean SSIM of the same pairs

Classes are known where the shards have the attribute `class`, as of data.source=two_domains of which both sets have
the same classes; else there is no agreement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan_core.config import EvaluateConfig
from gan_core.data.shards import Shards, Split
from gan_core.data.sources.two_domains import CLASS
from gan_core.errors import DataError
from gan_core.metrics.agreement import class_agreement, classifier, training_subset
from gan_core.metrics.domain import DomainNetwork
from gan_core.metrics.evaluate import CLASS_AGREEMENT, Measured, attributes_of, compared
from gan_core.metrics.evidence import count_of, seeing
from gan_core.metrics.figure import jackknifed, share
from gan_core.metrics.image_quality import finite_psnr, ssim
from gan_core.metrics.jackknife import mean_interval

A, B = 0, 1
MOST_LESSONS = 2_000  # training images of a that are translated for a classifier to learn from
RANGES = {"cycle_error": (0.0, 1.0), "cycle_psnr": (0.0, math.inf), "cycle_ssim": (-1.0, 1.0)}

Images = NDArray[np.uint8]
Translate = Callable[[Images, int], Images]
"""[n, C, H, W] uint8 and the label of the domain to go to, to images of that domain."""


@dataclass(frozen=True)
class Domain:
    """Real images of one domain.  images: [n, C, H, W].  classes: [n], None where they are not known."""

    images: Images
    classes: NDArray[np.int64] | None


def domain_of(split: Split, label: int, most: int | None = None) -> Domain:
    """The split's images of that label, or `most` of them, spread evenly."""
    members = np.flatnonzero(np.asarray(split.labels) == label)
    if most is not None and most < len(members):
        members = members[np.arange(most) * len(members) // most]
    known = attributes_of(split, [CLASS])[members, 0].astype(np.int64) if CLASS in split.attribute_names else None
    return Domain(split.gather(members), known)


def measure_translation(
    shards: Shards, translate: Translate, config: EvaluateConfig, network: DomainNetwork, back: bool = True
) -> dict[str, Measured]:
    """All of the above on `config.split`, with as many images of a as of b.

    back: whether it translates from b to a too; else nothing is measured of a cycle.

    DataError, with advice, when a domain of the split has fewer than `config.samples`, or no more than k images.
    """
    split = shards.split(config.split)
    there = np.bincount(np.asarray(split.labels), minlength=2)[[A, B]].min()
    n = count_of(int(there), config, f"the smaller domain of the '{config.split}' split")
    a, b = domain_of(split, A, n), domain_of(split, B, n)
    translated = translate(a.images, B)
    terms = {"split": config.split, "seed": config.seed}
    measured = compared(seeing(b.images, config, network), seeing(translated, config, network), config,
                        {"n_real": n, "n_fake": n, **terms}, int(there))
    if a.classes is not None and b.classes is not None:
        measured |= _agreements(shards.split("train"), a, b, translated, terms)
    if "adaptation" in config.also:
        measured |= _adaptation(domain_of(shards.split("train"), A, MOST_LESSONS), b, translate, terms)
    if not back:
        return measured
    other = translate(b.images, A)
    for name, domain, again in (("a", a, translate(translated, A)), ("b", b, translate(other, B))):
        for measure, each in _come_back(domain.images, again, config).items():
            lowest, highest = RANGES[measure]
            figure = jackknifed(float(each.mean()), mean_interval(each), lowest=lowest, highest=highest)
            measured[f"{measure}_{name}"] = Measured(n_real=n, n_fake=n, network="pixels", **figure.fields(), **terms)
    return measured


def _come_back(images: Images, back: Images, config: EvaluateConfig) -> dict[str, NDArray[np.float64]]:
    """How near images [n, C, H, W] translated there and back are to themselves: [n] by measure."""
    found = {"cycle_error": cycle_errors(images, back)}
    if "image_quality" not in config.also:
        return found
    try:
        return {**found, "cycle_psnr": finite_psnr(images, back), "cycle_ssim": ssim(images, back)}
    except DataError as error:
        raise DataError(f"evaluate.also=image_quality: {error}; leave it out") from None


def cycle_errors(images: Images, back: Images) -> NDArray[np.float64]:
    """[n]: mean absolute difference of each image [C, H, W] from itself translated there and back, 0 … 1."""
    return np.asarray(np.abs(images.astype(np.int16) - back).mean(axis=(1, 2, 3)) / 255)


def _adaptation(lessons: Domain, b: Domain, translate: Translate, terms: Mapping[str, object]) -> dict[str, Measured]:
    if lessons.classes is None or b.classes is None:
        raise DataError("evaluate.also=adaptation needs the classes of both domains, as data.source=two_domains has "
                        "them of two sets with classes of the same names; leave it out")
    learned_from = {"adaptation": (translate(lessons.images, B), len(lessons.images)),
                    "adaptation_before": (lessons.images, 0)}
    shares = {name: (share(class_agreement(classifier(images, lessons.classes)(b.images), b.classes), len(b.images)), n)
              for name, (images, n) in learned_from.items()}
    return {name: Measured.model_validate({**figure.fields(), "network": "svc", "n_real": len(b.images), "n_fake": n,
                                           **terms}) for name, (figure, n) in shares.items()}


def _agreements(
    train: Split, a: Domain, b: Domain, translated: Images, terms: Mapping[str, object]
) -> dict[str, Measured]:
    known = domain_of(train, B)
    assert known.classes is not None, "every split of a set has the attributes of the others"
    chosen = training_subset(len(known.images))
    classify = classifier(known.images[chosen], known.classes[chosen])
    found = {
        CLASS_AGREEMENT: (translated, a, len(a.images)),
        "agreement_before": (a.images, a, 0),
        "agreement_real": (b.images, b, 0),
    }
    shares = {name: (share(class_agreement(classify(images), domain.classes), len(images)), len(images), fakes)
              for name, (images, domain, fakes) in found.items() if domain.classes is not None}
    return {name: Measured.model_validate({**figure.fields(), "network": "svc", "n_real": n, "n_fake": fakes, **terms})
            for name, (figure, n, fakes) in shares.items()}
