"""A figure, with where other draws of as many examples would put it and what a reader should know of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gan_core.metrics.intervals import Interval, share_interval

How = Literal["wilson", "jackknife"]


@dataclass(frozen=True)
class Figure:
    """low ≤ value ≤ high, as often as `level` says, found by `interval`; all four None where that is not known."""

    value: float
    low: float | None = None
    high: float | None = None
    level: float | None = None
    interval: How | None = None
    warning: str | None = None

    def fields(self) -> dict[str, Any]:
        """As gan_core.metrics.evaluate.Measured names them."""
        return asdict(self)


Found = dict[str, tuple[Figure, Mapping[str, Any]]]
"""Figures by name, each with the network that it was measured by and what else is not as for the others."""


def share(value: float, n: int) -> Figure:
    """A share of n examples with Wilson's interval.  DataError as of `share_interval`."""
    return _with(value, share_interval(value, n), "wilson", 0.0, 1.0, None)


def jackknifed(
    value: float, interval: Interval | None, *, lowest: float = -math.inf, highest: float = math.inf,
    warning: str | None = None,
) -> Figure:
    """A figure with an interval of gan_core.metrics.jackknife, cut to where such a figure can be."""
    return Figure(value, warning=warning) if interval is None else \
        _with(value, interval, "jackknife", lowest, highest, warning)


def _with(value: float, found: Interval, how: How, lowest: float, highest: float, warning: str | None) -> Figure:
    """Rounding may put a value beside its own interval."""
    low, high = min(value, max(lowest, found.low)), max(value, min(highest, found.high))
    return Figure(value, low, high, found.level, how, warning)
