"""How population-based training changes the values that a trial took over."""

from __future__ import annotations

from typing import Any

from ray import tune

from gan_core.options.distributions import Distribution
from gan_core.options.tune import TuneConfig


def mutations(block: TuneConfig) -> dict[str, Any]:
    """What Tune draws anew from, or moves by a fifth, by dotted name; a choice it moves to one beside it."""
    return {name: _domain(drawn) for name, drawn in block.space.items()}


def explored(block: TuneConfig, config: dict[str, Any]) -> dict[str, Any]:
    """Values that were moved out of their range are brought back to its end: Tune only multiplies."""
    return {**config, "params": {name: _kept(block.space[name], value) for name, value in config["params"].items()}}


def _domain(drawn: Distribution) -> Any:
    if drawn.kind == "choice":
        return list(drawn.choices)
    low, high = drawn.ends
    match drawn.kind:
        case "uniform":
            return tune.uniform(low, high)
        case "loguniform":
            return tune.loguniform(low, high)
        case "randint":
            return tune.randint(int(low), int(high) + 1)
        case _:
            return tune.lograndint(int(low), int(high) + 1)


def _kept(drawn: Distribution, value: Any) -> Any:
    if drawn.kind == "choice":
        return value
    low, high = drawn.ends
    return min(max(value, low), high)
