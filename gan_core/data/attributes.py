"""What the attributes of a data set are, from the numbers that its training examples have.

    only 0 and 1                  binary
    whole numbers from 0 to 63    categorical: as many values as the largest one says, and one for 0
    anything else                 continuous, from the least to the greatest

Preparing a set notes the range of each column in its manifest, so that a set larger than the local cache need not be
fetched for this.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gan_core.config import Config
from gan_core.errors import DataError
from gan_core.options.conditions import Attribute

if TYPE_CHECKING:
    from gan_core.data.shards import Shards

MOST_VALUES = 64  # of a categorical attribute; more whole numbers than that are a measure, such as an age


class Seen(Config):
    """What a column of numbers holds.

    low, high: the least and the greatest finite number; None where there is none.  whole: all of these are whole.
    missing: how many are not finite, as where a table has no value.
    """

    low: float | None
    high: float | None
    whole: bool
    missing: int

    @staticmethod
    def of(values: NDArray[np.float64]) -> Seen:
        """values: [N]."""
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (None, None)
        return Seen(low=low, high=high, whole=bool((known == np.rint(known)).all()), missing=len(values) - len(known))

    @staticmethod
    def joined(columns: Sequence[Seen]) -> Seen:
        """What one column after the other holds."""
        lows = [seen.low for seen in columns if seen.low is not None]
        highs = [seen.high for seen in columns if seen.high is not None]
        return Seen(low=min(lows, default=None), high=max(highs, default=None),
                    whole=all(seen.whole for seen in columns), missing=sum(seen.missing for seen in columns))


def seen_in(columns: Mapping[str, Sequence[float]]) -> dict[str, Seen]:
    """Of each column."""
    return {name: Seen.of(np.asarray(values, np.float64)) for name, values in columns.items()}


def joined(parts: Sequence[Mapping[str, Seen]]) -> dict[str, Seen]:
    """Of each column of several parts of a set that have the same ones."""
    return {name: Seen.joined([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def attributes_of(shards: Shards, wanted: Collection[str] | None = None) -> tuple[Attribute, ...]:
    """What is known of each training example, in the order of the columns of a batch's `attributes`; () for none.

    wanted: the attributes that a model is to learn by; all of them when None.  DataError names one of these that is
    missing of some examples, or is the same of all.
    """
    return attributes_in(shards.split("train").seen, wanted)


def attributes_in(seen: Mapping[str, Seen], wanted: Collection[str] | None = None) -> tuple[Attribute, ...]:
    """The same of columns that were looked at already."""
    for name in seen if wanted is None else [name for name in seen if name in wanted]:
        _refuse_what_teaches_nothing(name, seen[name])
    return tuple(_attribute(name, column) for name, column in seen.items())


def _refuse_what_teaches_nothing(name: str, seen: Seen) -> None:
    if seen.missing:
        raise DataError(f"the attribute '{name}' is missing of {seen.missing:,} training examples; fill it in, or "
                        "leave these examples or the attribute out")
    if seen.low == seen.high and _attribute(name, seen).kind == "continuous":
        raise DataError(f"the attribute '{name}' is {seen.low:g} of every training example, and nothing can be learned "
                        "by it; leave it out")


def _attribute(name: str, seen: Seen) -> Attribute:
    if seen.low is None or seen.high is None:
        return Attribute(name=name, kind="continuous")
    if seen.whole and seen.low >= 0 and seen.high <= 1:
        return Attribute(name=name, kind="binary")
    if seen.whole and seen.low >= 0 and seen.high < MOST_VALUES:
        return Attribute(name=name, kind="categorical", values=int(seen.high) + 1)
    return Attribute(name=name, kind="continuous", low=seen.low, high=seen.high)
