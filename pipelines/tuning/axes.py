"""The settings of a search as axes of figures: where a value lies on one, and what is written at its ends."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gan_core.options.distributions import Distribution, as_text
from gan_core.options.tune import TuneConfig
from pipelines.tuning.words import setting

UNSET = "not set"


@dataclass(frozen=True)
class Axis:
    """One setting.  low, high: of its numbers.  choices: the values of one that has no numbers' order, as text."""

    name: str
    low: float = 0.0
    high: float = 1.0
    logarithmic: bool = False
    choices: tuple[str, ...] = ()

    def place(self, value: Any) -> float:
        """Where a value lies: 0 at the lower end, 1 at the upper; of three choices 1/6, 1/2, 5/6."""
        if self.choices:
            return (self.choices.index(as_text(value)) + 0.5) / len(self.choices)
        low, high, here = map(self._scaled, (self.low, self.high, value))
        return (here - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """What is written along it: its choices, or its ends."""
        if self.choices:
            return [(self.place(json.loads(choice)), setting(json.loads(choice))) for choice in self.choices]
        return [(self.place(end), setting(end)) for end in dict.fromkeys((self.low, self.high))]

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.logarithmic else value


def axes_of(tune: TuneConfig, trials: Sequence[Mapping[str, Any]]) -> list[Axis]:
    """One for each setting that is searched, from end to end of what was asked for and of what any trial had.

    trials: values by dotted name.
    """
    return [_axis(name, distribution, [values[name] for values in trials if name in values])
            for name, distribution in tune.space.items()]


def _axis(name: str, distribution: Distribution, values: Sequence[Any]) -> Axis:
    if distribution.choices:
        return Axis(name, choices=tuple(dict.fromkeys(map(as_text, (*distribution.choices, *values)))))
    ends = (*distribution.ends, *values)
    return Axis(name, min(ends), max(ends), distribution.log)
