"""What a generator is measured by: real and generated images, and how feature networks see them.

    evidence = evidence_of(shards, generated, requested, config, domain)
    real, fake = evidence.features("domain")

Each network sees each image once, however many metrics look at its features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.config import EvaluateConfig
from gan_core.data.shards import Shards
from gan_core.errors import DataError
from gan_core.metrics.agreement import Classify, classifier, training_subset
from gan_core.metrics.domain import DomainNetwork
from gan_core.metrics.judge import Judge
from gan_core.metrics.seen import features_by
from gan_core.modalities.kinds import modality_of

Images = NDArray[Any]
"""uint8 [n, C, H, W], or examples of another kind as they are stored."""
Labels = NDArray[np.int64]
Features = NDArray[Any]
See = Callable[[str], Features]
"""A network's name to the features of some images, [n, d]."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """As many real as generated images of one data set, and their features.

    real, generated: images.  requested: [n], the class each was asked for; None from a generator that takes none.
    see_real, see_generated: features of these by a network's name; see_train: of the whole train split.
    judge: the discriminator; None where nothing that is asked for needs one.
    """

    shards: Shards
    config: EvaluateConfig
    domain: DomainNetwork
    real: Images
    generated: Images
    requested: Labels | None
    see_real: See
    see_generated: See
    see_train: See
    judge: Judge | None = None

    def features(self, network: str) -> tuple[Features, Features]:
        """Of real and of generated images, [n, d] each."""
        return self.see_real(network), self.see_generated(network)

    @property
    def n(self) -> int:
        """How many there are of each."""
        return len(self.real)

    @property
    def labels(self) -> Labels | None:
        """[n] of the real images; None where the set has none."""
        labels = self.shards.split(self.config.split).labels
        return None if labels is None else np.asarray(labels[: self.n], np.int64)

    @cached_property
    def classify(self) -> Classify | None:
        """An SVC of the train split's images, fitted once; None where the set has no labels."""
        train = self.shards.split("train")
        if train.labels is None:
            return None
        chosen = training_subset(len(train))
        return classifier(self.views(train.gather(chosen)), np.asarray(train.labels, np.int64)[chosen])

    @cached_property
    def read(self) -> Labels:
        """[n], the classes that it reads in generated images; only of a set with labels."""
        assert self.classify is not None, "classes are read where there are labels"
        return self.classify(self.views(self.generated))

    def views(self, examples: Images) -> NDArray[np.uint8]:
        """[n, C, H, W]: images as they are, others as they are looked at."""
        return modality_of(self.shards.form).views(examples)

    @property
    def terms(self) -> dict[str, Any]:
        """What every figure says of where it is from."""
        return {"n_real": self.n, "n_fake": len(self.generated), "split": self.config.split, "seed": self.config.seed}


def evidence_of(
    shards: Shards, generated: Images, requested: Labels | None, config: EvaluateConfig, domain: DomainNetwork
) -> Evidence:
    """Everything seen in this process, when it is first asked for.

    DataError, with advice, when the split is smaller than `config.samples`, when n ≤ k, and when `generated` is not n
    images of the set's shape.
    """
    real = real_images(shards, config)
    refuse_others(generated, real.shape)
    return Evidence(shards, config, domain, real, generated, requested, seeing(real, config, domain),
                    seeing(generated, config, domain),
                    cache(lambda network: features_by(network, config, domain)(shards.split("train").images)))


def seeing(images: Images, config: EvaluateConfig, domain: DomainNetwork) -> See:
    """How networks see these images, each network once."""
    return cache(lambda network: features_by(network, config, domain)(images))


def real_images(shards: Shards, config: EvaluateConfig) -> Images:
    """The first n of the split in stored order.  DataError as of `evidence_of`."""
    return shards.split(config.split).gather(np.arange(compared_count(shards, config)))


def refuse_others(generated: Images, wanted: tuple[int, ...]) -> None:
    """DataError for generated images that are not as many, or not of the shape, of the real ones."""
    if generated.shape != wanted:
        raise DataError(f"the generated images have the shape {generated.shape}; "
                        f"evaluate.samples on this split asks for {wanted}")


def compared_count(shards: Shards, config: EvaluateConfig) -> int:
    """How many real and how many generated images are compared.  DataError when that cannot work."""
    return count_of(len(shards.split(config.split)), config, f"the '{config.split}' split")


def count_of(there: int, config: EvaluateConfig, what: str) -> int:
    """How many of so many real images are compared, and with as many generated ones.  DataError when it cannot work."""
    n = config.samples or there
    if n > there:
        raise DataError(f"evaluate.samples={n} is more than the {there} of {what}; evaluate.samples={there} works, or "
                        "null for all of them")
    if n <= config.k:
        enough = f"evaluate.k={n - 1} works" if n > 1 else "the split needs two examples or more"
        raise DataError(f"evaluate.k={config.k} needs at least {config.k + 1} samples, and {n} of {what} are compared; "
                        f"{enough}")
    return n
