"""GAN-train and GAN-test: what a classifier learns from generated images, and what it sees in them.

Shmelkov, Schmid & Alahari 2018, "How good is my GAN?", arXiv:1807.09499.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.data.shards import Split
from gan_core.errors import DataError
from gan_core.metrics.domain import accuracy_on, train_domain
from gan_core.modalities.form import Form

MOST = 30_000  # images seen in each training: 14 s of one core at 28×28 pixels, where an SVC of 10,000 takes 11 + 21 s


@dataclass(frozen=True)
class ClassAccuracy:
    """Shares of images put into their class, 0 … 1.

    gan_train: of the real test split, by a classifier that learnt from generated images alone; low where they lack
    quality or diversity.  gan_test: of generated images, by one that learnt from the real train split; low where they
    are not of the class asked for, and higher than `real` where they are no more than its plainest examples.  real: of
    the real test split, by that same classifier; gan_train comes near it and does not pass it for long.
    """

    gan_train: float
    gan_test: float
    real: float


def class_accuracy(
    train: Split, test: Split, generated: NDArray[Any], requested: NDArray[np.int64], classes: int, form: Form,
    seed: int = 0,
) -> ClassAccuracy:
    """Both from generated images [m, C, H, W] and the classes [m] that were asked for.  form: of an example; those of
    another kind than images are given as they are stored.

    The classifier is the domain network's, trained from new weights on 30,000 images, 20 epochs at most, whatever the
    size of its training set: convolutions learn colour images better than an SVC on pixels in less time, and neither
    its training nor its use grows with the square of anything.  Both trainings are functions of the seed.  Generate as
    many images as the train split has, or the fewer will be part of what lowers gan_train.
    DataError without labels, and when images and classes do not pair up.
    """
    if train.labels is None or test.labels is None or classes < 2:
        raise DataError("the data set has no classes to tell apart; GAN-train and GAN-test need labels of two or more")
    if generated.shape[:1] != requested.shape or not len(requested) or generated.shape[1:] != form.shape:
        raise DataError(f"generated images {generated.shape} and requested classes {requested.shape} do not pair up; "
                        "generate one image for each requested class")
    if requested.min() < 0 or requested.max() >= classes:
        raise DataError(f"requested classes are {requested.min()} to {requested.max()}; the set has 0 to {classes - 1}")
    made = Split((generated,), requested.astype(np.int64))
    of_generated, of_real = (train_domain(split, form, classes, seed, test, MOST)
                             for split in (made, train))
    assert of_generated.facts.accuracy is not None, "the test split has labels"
    assert of_real.facts.accuracy is not None, "the test split has labels"
    return ClassAccuracy(
        gan_train=of_generated.facts.accuracy,
        gan_test=accuracy_on(of_real, made, requested),
        real=of_real.facts.accuracy,
    )
