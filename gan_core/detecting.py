"""Anomaly scores of a whole split, and which of its images to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from gan_core.anomalies import Found, Images, by_encoder, has_encoder
from gan_core.bundle import Generator
from gan_core.config import EvaluateConfig
from gan_core.data.normal import NORMAL
from gan_core.data.shards import Shards, Split
from gan_core.metrics.detection import detection, threshold_of
from gan_core.metrics.domain import one_thread
from gan_core.metrics.evaluate import Measured

AT_ONCE = 256
SHOWN = 8  # images in a row of a picture

Look = Callable[[Images, Sequence[int]], Found]
"""Images [n, C, H, W] and their numbers in their set to what is found of them."""
Tell = Callable[[int], object]


@dataclass(frozen=True, eq=False)
class Scored:
    """The scores of a split, [n] each, features None where no discriminator was asked; what a row of images shows.

    abnormal: [n], None where nothing says so.
    """

    score: NDArray[np.float64]
    residual: NDArray[np.float64]
    features: NDArray[np.float64] | None
    abnormal: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Row:
    """Some images of a kind, what they were rebuilt as, and their scores."""

    name: str
    images: Images
    rebuilt: Images
    score: NDArray[np.float64]
    abnormal: NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class Detected:
    """What an encoder tells of a split."""

    scored: Scored
    threshold: float | None
    rows: Sequence[Row]

    def measured(self, config: EvaluateConfig) -> dict[str, Measured]:
        """The figures of gan_core.config.ANOMALY_METRICS."""
        score, abnormal = self.scored.score, self.scored.abnormal
        assert abnormal is not None, "found where it is known what is normal"
        figures = detection(score[abnormal], score[~abnormal], self.threshold, config.seed)
        told = {"n_fake": 0, "network": "encoder", "seed": config.seed}
        counts = {"anomaly_found": int(abnormal.sum()), "anomaly_false_alarms": int((~abnormal).sum())}
        found = {name: Measured(**figure.fields(), **told, n_real=counts.get(name, len(score)), split=config.split)
                 for name, figure in figures.items()}
        if (threshold := found.get("anomaly_threshold")) is not None:
            found["anomaly_threshold"] = threshold.model_copy(update={"split": "validation"})
        return found


def detected(generator: Generator, data: Shards, config: EvaluateConfig) -> Detected | None:
    """None for a generator without an encoder, and for a split of which nothing says what is normal.

    data: with all of its test examples.  On one thread and in float32.
    """
    split, normal = data.split(config.split), data.facts.get(NORMAL)
    if not has_encoder(generator) or normal is None or split.labels is None:
        return None
    abnormal = ~np.isin(np.asarray(split.labels), normal)
    if abnormal.all() or not abnormal.any():
        return None
    look = encoder_look(generator)
    with one_thread():
        places, held_out = spread_over(len(split)), data.splits.get("validation")
        scored = scored_of(look, split, places, abnormal)
        threshold = None
        if held_out:
            normal_scores = scored_of(look, held_out, spread_over(len(held_out))).score
            threshold = threshold_of(normal_scores, config.anomaly_quantile)
        return Detected(scored, threshold, rows_of(look, split, scored, places, config.seed))


def encoder_look(generator: Generator) -> Look:
    """f-AnoGAN's, in float32: scores are compared with one another, and an eighth digit ranks nothing."""
    quick = generator.at(torch.float32, generator.device)
    return lambda images, numbers: by_encoder(quick, images)


def scored_of(
    look: Look, split: Split, places: NDArray[np.int64], abnormal: NDArray[np.bool_] | None = None,
    tell: Tell = lambda done: None,
) -> Scored:
    """The scores of the examples of a split at these places.  abnormal: of each.  tell: hears how many are done."""
    parts: list[Found] = []
    for start in range(0, len(places), AT_ONCE):
        part = places[start : start + AT_ONCE]
        found = look(split.gather(part), part.tolist())
        parts.append(replace(found, rebuilt=found.rebuilt[:0]))  # which would be as large as the split
        tell(start + len(part))
    whole = Found.joined(parts)
    return Scored(whole.score, whole.residual, whole.features, abnormal)


def spread_over(n: int, most: int | None = None) -> NDArray[np.int64]:
    """The places of all n examples, or of `most` spread evenly over them."""
    return np.arange(n) if most is None or most >= n else np.arange(most) * n // most


def rows_of(look: Look, split: Split, scored: Scored, places: NDArray[np.int64], seed: int) -> list[Row]:
    """The images with the highest scores, with the lowest, and some drawn by the seed.  places: of what was scored."""
    order = np.argsort(scored.score, kind="stable")
    n = min(SHOWN, len(order))
    drawn = np.sort(np.random.default_rng(seed).choice(len(order), n, replace=False))
    rows = []
    for name, chosen in (("most anomalous", order[::-1][:n]), ("most normal", order[:n]), ("any", drawn)):
        images = split.gather(places[chosen])
        rebuilt = look(images, places[chosen].tolist()).rebuilt
        rows.append(Row(name, images, rebuilt, scored.score[chosen],
                        None if scored.abnormal is None else scored.abnormal[chosen]))
    return rows
