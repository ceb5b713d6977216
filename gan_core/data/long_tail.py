"""A training split cut to a long tail, to try on any set of classes what a rare class needs.

Of class c of C the first imbalance^(−c / (C − 1)) of its own examples stay, one at least (Cui et al. 2019,
arXiv:1901.05555).  Validation and test stay whole.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gan_core.data.items import Index, ItemSource
from gan_core.errors import DataError

Imbalance = Field(
    1.0, ge=1, allow_inf_nan=False, examples=[50],
    description="of train alone: how many times rarer the last class is made than the first; those between fall "
                "evenly, by the same factor from one to the next (Cui et al. 2019)")


def long_tail(labels: NDArray[np.int64], imbalance: float, classes: int) -> NDArray[np.int64]:
    """The places of the examples that stay, rising.  labels: [N]; below 0 for an item of no class, which stays."""
    kept = [np.flatnonzero(labels < 0)]
    for label in range(classes):
        of_class = np.flatnonzero(labels == label)
        room = max(1, round(len(of_class) * imbalance ** (-label / max(1, classes - 1))))
        kept.append(of_class[:room])
    return np.sort(np.concatenate(kept))


class LongTailed(ItemSource):
    """A set whose index knows the class of each item before any is read."""

    imbalance: float = Imbalance

    @abstractmethod
    def labels_of_items(self, index: Index, items: Sequence[Any]) -> NDArray[np.int64] | None:
        """The class of each of these items, [n], below 0 for none; None for a set without classes."""

    def kept(self, index: Index) -> Index:
        if self.imbalance == 1:
            return index
        items = index.splits.get("train", ())
        labels = self.labels_of_items(index, items)
        if labels is None or len(index.class_names) < 2:
            raise DataError(f"imbalance={self.imbalance:g}: {self.url} has no classes to make rare; imbalance=1 works")
        places = long_tail(labels, self.imbalance, len(index.class_names))
        train = items[places] if isinstance(items, np.ndarray) else [items[place] for place in places.tolist()]
        return replace(index, splits={**index.splits, "train": train})
