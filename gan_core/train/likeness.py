"""How far samples are apart, and whose class mean they are nearest to, beside real examples of the same classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan_core.data.batches import ready
from gan_core.data.shards import Split
from gan_core.modalities.modality import Modality

MEAN_OF = 64  # real examples of each class behind its mean, and held-out ones that are put to the means


@dataclass(frozen=True)
class Real:
    """What samples are compared with.

    apart: mean distance of two examples, of as many of each class as there are samples.  within: the same of two of one
    class, by class.  means: of each class's examples, flat.  agreement: of held-out examples with the means.
    """

    apart: float
    within: Mapping[int, float]
    means: Mapping[int, Tensor]
    agreement: float

    @staticmethod
    def of(
        splits: Mapping[str, Split], labels: Tensor | None, n: int, modality: Modality, device: torch.device
    ) -> Real:
        """splits: train and, where there is one, validation.  labels: [n] of the samples to come, or None."""
        train = splits["train"]
        if labels is None or train.labels is None:
            return Real(apart(_examples(train, np.arange(len(train)), n, modality, device)), {}, {}, math.nan)
        alike: dict[int, Tensor] = {}
        means: dict[int, Tensor] = {}
        for label, count in zip(*(found.tolist() for found in labels.unique(return_counts=True)), strict=True):
            examples = _of_class(train, label, max(MEAN_OF, count), modality, device)
            if len(examples):  # a class may lie in files that are not at hand
                alike[label], means[label] = examples[:: max(1, len(examples) // count)][:count], examples.mean(0)
        within = {label: apart(examples) for label, examples in alike.items() if len(examples) > 1}
        held_out = splits.get("validation", train)
        known = {label: _of_class(held_out, label, MEAN_OF, modality, device) for label in means}
        asked = torch.cat([torch.full((len(found),), label, device=device) for label, found in known.items()])
        return Real(apart(torch.cat(list(alike.values()))), within, means,
                    agreement(torch.cat(list(known.values())), asked, means))

    def compare(self, samples: Tensor, labels: Tensor | None) -> dict[str, float]:
        """Diversity and agreement of samples, as `looked_at` shows them, that were asked for with labels [n]."""
        flat = samples.flatten(1).float()
        found = {"diversity/pairwise": _ratio(apart(flat), self.apart)}
        if labels is None or not self.means or flat.shape[1] != next(iter(self.means.values())).numel():
            return found
        ratios = [_ratio(apart(flat[labels == label]), real) for label, real in self.within.items()]
        if ratios:
            found["diversity/class"] = min(ratios)
        return {**found, "agreement/class": agreement(flat, labels, self.means), "agreement/real": self.agreement}


def apart(examples: Tensor) -> float:
    """Mean L2 distance between two of [n, d] examples; NaN of fewer than two."""
    return float(torch.pdist(examples).mean())


def agreement(examples: Tensor, labels: Tensor, means: Mapping[int, Tensor]) -> float:
    """Share of examples [n, d] nearer to the mean of their own label than to any other; NaN where there are none.

    Those whose label has no mean are left out.
    """
    classes = torch.tensor(sorted(means), device=labels.device)
    asked = torch.isin(labels, classes)
    distances = torch.stack([(examples[asked] - means[label]).square().sum(1) for label in sorted(means)])
    return float((classes[distances.argmin(0)] == labels[asked]).float().mean())


def _ratio(samples: float, real: float) -> float:
    return samples / real if real else math.nan


def looked_at(samples: Tensor, modality: Modality) -> Tensor:
    """[n, C, H, W] in [−1, 1]: what a network made as a picture; images as they are, not rounded."""
    if modality.is_picture:
        return samples
    views = modality.views(modality.stored(samples.float().cpu().numpy()))
    return ready(torch.from_numpy(views).to(samples.device))


def _of_class(split: Split, label: int, most: int, modality: Modality, device: torch.device) -> Tensor:
    return _examples(split, np.flatnonzero(np.asarray(split.labels) == label), most, modality, device)


def _examples(
    split: Split, among: NDArray[np.int64], most: int, modality: Modality, device: torch.device
) -> Tensor:
    """[n, d] float32: up to `most` of these examples, spread evenly over them, as pictures in [−1, 1]."""
    n = min(most, len(among))
    chosen = among[np.arange(n) * len(among) // max(n, 1)]
    views = modality.views(split.gather(chosen))
    return ready(torch.from_numpy(np.ascontiguousarray(views)).to(device)).flatten(1).float()
