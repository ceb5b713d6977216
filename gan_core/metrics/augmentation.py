"""Whether synthetic examples help a classifier of real ones: four ways to train it, all tested on real examples.

    real              the training split as it is
    real_balanced     the same, every class drawn as often as the others: what costs nothing
    synthetic         synthetic examples alone, as many of each class
    real_synthetic    real ones, each class filled up with synthetic ones to one size

Every classifier sees as many examples.  Synthetic ones are recommended where the last way is better than the better one
of the first two beyond doubt, and else not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gan_core.data.sampler import Natural, Order, Weighted
from gan_core.data.shards import Split
from gan_core.data.weights import BALANCED, weights_for
from gan_core.errors import DataError
from gan_core.metrics.crossed_bootstrap import crossed, interval_of
from gan_core.metrics.domain import one_thread, read_by, train_classifier
from gan_core.metrics.intervals import Interval, share_interval
from gan_core.modalities.form import Form

REAL, BALANCED_REAL, SYNTHETIC, BOTH = "real", "real_balanced", "synthetic", "real_synthetic"
WAYS = (REAL, BALANCED_REAL, SYNTHETIC, BOTH)
BASELINES = (REAL, BALANCED_REAL)

Labels = NDArray[np.int64]
Verdict = Literal["helps", "no difference shown", "harms"]


def filled(real: Split, synthetic: Split, size: int) -> Split:
    """The real examples, and of each class the first synthetic ones that it lacks to have `size`."""
    known, made = labels_of(real), labels_of(synthetic)
    chosen = [np.flatnonzero(made == label)[: max(0, size - int((known == label).sum()))] for label in np.unique(made)]
    places = np.sort(np.concatenate(chosen))
    parts = (*real.parts, synthetic.gather(places))
    return Split(parts, np.concatenate([known, made[places]]), kind=real.kind)


def training_set(way: str, real: Split, synthetic: Split, size: int, images: int, seed: int) -> tuple[Split, Labels]:
    """What a way trains on, and in which order: indices into it, [images].  size: examples of each class with `BOTH`.
    """
    split = {SYNTHETIC: synthetic, BOTH: filled(real, synthetic, size) if way == BOTH else real}.get(way, real)
    order: Order = Natural(len(split), seed)
    if way == BALANCED_REAL:
        weights = weights_for(BALANCED, labels=split.labels, columns={})
        assert weights is not None, "balanced is a way to weigh"
        order = Weighted(weights, seed=seed)
    return split, order.at(0, images)


def answers(
    way: str, real: Split, synthetic: Split, test: Split, form: Form, classes: int, *, size: int, images: int, seed: int
) -> Labels:
    """The class that a classifier trained in this way reads in each test example, [n]: a function of all of this.

    All splits hold examples of this form.  Nothing of the test split but its examples, after
    training, is looked at.  DataError without labels.
    """
    split, order = training_set(way, real, synthetic, size, images, seed)
    network = train_classifier(split, form, classes, seed, order)
    with one_thread():
        return read_by(network, test, form)


@dataclass(frozen=True)
class Share:
    """A share of test examples, 0 … 1, or a difference of two; with its interval."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class OfWay:
    """What the classifiers of one way got right.  balanced: the mean over classes of recall; recall: of each class that
    has test examples.
    """

    accuracy: Share
    balanced: Share
    recall: Mapping[int, Share]


@dataclass(frozen=True)
class Outcome:
    """The four ways, and what follows.

    baseline: the better one of the real ones.  gain, balanced_gain: accuracy, and mean recall, of real and synthetic
    ones beyond it.
    """

    ways: Mapping[str, OfWay]
    baseline: str
    gain: Share
    balanced_gain: Share
    verdict: Verdict

    @property
    def recommended(self) -> bool:
        """Whether to train with synthetic examples."""
        return self.verdict == "helps"


def outcome(read: Mapping[str, Labels], labels: Labels, *, level: float = 0.95, resamples: int = 2000) -> Outcome:
    """What was read in the test examples, [trainings, n] for each way, beside their labels, [n].

    Intervals are of a crossed bootstrap over trainings and test examples, the same draws for all ways.  The baseline
    of the gain is chosen anew in each draw, as the better of two: that it was chosen among several counts against
    synthetic examples, never for them.
    """
    right = {way: np.atleast_2d(found) == labels for way, found in read.items()}
    classes, class_of = np.unique(labels, return_inverse=True)
    drawn = crossed(right, class_of, resamples=resamples)
    of_class = {way: drawn.shares(way) for way in right}
    accuracy = {way: drawn.share(way) for way in right}
    balanced = {way: np.nanmean(shares, axis=1) for way, shares in of_class.items()}
    means = {way: float(table.mean()) for way, table in right.items()}
    recall = {way: [table[:, class_of == place] for place in range(len(classes))] for way, table in right.items()}
    even = {way: float(np.mean([table.mean() for table in tables])) for way, tables in recall.items()}
    ways = {
        way: OfWay(
            Share(means[way], interval_of(accuracy[way], level)),
            Share(even[way], interval_of(balanced[way], level)),
            {int(label): _recall(recall[way][place], of_class[way][:, place], level)
             for place, label in enumerate(classes)},
        )
        for way in right
    }
    gain = _gain(means, accuracy, level)
    return Outcome(ways, max(BASELINES, key=lambda way: means[way]), gain, _gain(even, balanced, level),
                   verdict_of(gain.interval))


def verdict_of(gain: Interval) -> Verdict:
    """In words, by where the interval of the gain lies."""
    if gain.low > 0:
        return "helps"
    return "harms" if gain.high < 0 else "no difference shown"


def labels_of(split: Split) -> Labels:
    """DataError for a split without labels."""
    if split.labels is None:
        raise DataError("the data set has no labels, and a classifier learns from them; a set with classes works")
    return split.labels.astype(np.int64)


def _gain(means: Mapping[str, float], drawn: Mapping[str, NDArray[np.float64]], level: float) -> Share:
    value = means[BOTH] - max(means[way] for way in BASELINES)
    beyond = drawn[BOTH] - np.maximum(*(drawn[way] for way in BASELINES))
    return Share(value, interval_of(beyond, level))


def _recall(right: NDArray[np.bool_], drawn: NDArray[np.float64], level: float) -> Share:
    """Of one class, [trainings, n].  Its interval is no narrower than Wilson's: of answers that are all right, or all
    wrong, resampling sees no doubt.
    """
    value = float(right.mean())
    found, least = interval_of(drawn, level), share_interval(value, right.shape[1], level)
    return Share(value, Interval(min(found.low, least.low), max(found.high, least.high), level))
