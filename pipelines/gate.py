"""What the gate's rules say of a version's numbers, by themselves and beside the champion's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gan_core.config import Bound
from gan_core.options.gate import FACTORS, Rule, rules_of
from pipelines.models import Standard


@dataclass(frozen=True)
class Refusal:
    """A metric that does not keep a rule.

    value: None when it was not measured.  champion: its number and version, where the rule is relative and it has one.
    why: why it has none.
    """

    metric: str
    value: float | None
    rule: Rule
    champion: float = math.nan
    version: str = ""
    why: str = ""

    def __str__(self) -> str:
        asked = f"{self.rule.side} {self.rule.words()}"
        if self.value is None:
            return f"{self.metric} was not measured; the gate asks for {asked}"
        if self.why:
            return f"{self.metric} cannot be judged by {asked}: {self.why}"
        limit = self.rule.limit(self.champion)
        side = "below" if self.rule.side == "at_least" else "above"
        told = f"{self.metric} {self.value:.6g} is {abs(self.value - limit):.3g} {side} {asked}"
        if not self.rule.relative:
            return told
        return f"{told}, which is {limit:.6g}: champion {self.version} has {self.champion:.6g}"


def relative_metrics(gate: Mapping[str, Bound]) -> tuple[str, ...]:
    """The metrics that are judged beside the champion's."""
    return tuple(name for name, bound in gate.items() if any(rule.relative for rule in rules_of(bound)))


def judge(
    metrics: Mapping[str, Mapping[str, Any]], gate: Mapping[str, Bound], champion: Standard | None = None
) -> list[Refusal]:
    """Every rule that is not kept; a metric that is missing or not a number keeps none.

    metrics: {name: {"value": …, …}}, as evaluate writes them.  champion: None where there is none, and then what is
    relative to it is kept.
    """
    return [refusal for name, bound in gate.items() for rule in rules_of(bound)
            for refusal in _refused(name, _number(metrics, name), rule, champion)]


def _refused(name: str, value: float | None, rule: Rule, champion: Standard | None) -> Iterator[Refusal]:
    if value is None:
        yield Refusal(name, None, rule)
    elif not rule.relative:
        if not rule.keeps(value):
            yield Refusal(name, value, rule)
    elif champion is not None:
        yield from _refused_beside(name, value, rule, champion)


def _refused_beside(name: str, value: float, rule: Rule, champion: Standard) -> Iterator[Refusal]:
    its, version = champion.values.get(name), champion.version
    if its is None:
        why = champion.without.get(name, f"champion {version} has no {name}")
        yield Refusal(name, value, rule, version=version, why=why)
    elif its < 0 and rule.name in FACTORS:
        yield Refusal(name, value, rule, its, version, f"champion {version} has {its:.6g}, of which a factor says "
                                                       f"nothing; {FACTORS[rule.name]} works")
    elif not rule.keeps(value, its):
        yield Refusal(name, value, rule, its, version)


def _number(metrics: Mapping[str, Mapping[str, Any]], name: str) -> float | None:
    found = metrics.get(name, {}).get("value")
    return None if found is None or math.isnan(found) else float(found)
