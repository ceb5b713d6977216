"""A metric's confidence bounds in words: what metrics.json has as low, high, level, interval and warning.

A metric has all of low, high, level and interval, or none of them; published versions from before have none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

BOUNDS = ("low", "high", "level", "interval", "warning")


def between(low: float | None, high: float | None, number: Callable[[float], str]) -> str:
    """'0.91 to 0.96'; empty where the bounds are not known.  number: how to write one."""
    return "" if low is None or high is None else f"{number(low)} to {number(high)}"


def bounded(measured: Mapping[str, Any], number: Callable[[float], str]) -> str:
    """'0.939 (0.91 to 0.96)', or the value alone.  measured: a metric as in metrics.json."""
    span = between(measured.get("low"), measured.get("high"), number)
    value = number(measured["value"])
    return f"{value} ({span})" if span else value


def method(level: float | None, interval: str | None) -> str:
    """'95% interval: wilson'; empty where there is none."""
    return f"{level:.0%} interval: {interval}" if level is not None and interval else ""


def how(measured: Mapping[str, Any], known: tuple[str, ...] = ()) -> str:
    """'k=5, seed=0, 95% interval: wilson': all but the value, its bounds, and what is known already."""
    terms = [f"{name}={term}" for name, term in measured.items() if name not in ("value", *BOUNDS, *known)]
    words = (method(measured.get("level"), measured.get("interval")), measured.get("warning"))
    return ", ".join([*terms, *filter(None, words)])
