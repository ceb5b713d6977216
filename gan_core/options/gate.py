"""The settings of publish: what a version must reach to become champion, by itself or beside the champion.

    gate:
      coverage_pixels: {at_least: 0.9}
      fd_domain: {at_most: 20, at_most_champion: 1.02}         # no worse than 1.02 times the champion's
      kid_domain: {at_most_champion_plus: 0.001}               # no worse than the champion's and 0.001
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, FiniteFloat, SerializerFunctionWrapHandler, model_serializer, model_validator

from gan_core.block import Config

MAY_BE_NEGATIVE = ("kid_", "memorisation_", "cycle_psnr_", "cycle_ssim_")
"""How metrics begin that are round 0 for the best of generators, so that a factor of one says nothing."""

FACTORS = {"at_least_champion": "at_least_champion_minus", "at_most_champion": "at_most_champion_plus"}
"""What is times the champion's number, and the difference from it that stands on the same side."""

SIGNS = {"at_least": "≥", "at_most": "≤"}
TIMES, MINUS, PLUS = "\N{MULTIPLICATION SIGN}", "\N{MINUS SIGN}", "+"
SIDES: Mapping[str, tuple[Literal["at_least", "at_most"], str]] = {
    "at_least": ("at_least", ""), "at_most": ("at_most", ""),
    "at_least_champion": ("at_least", TIMES), "at_most_champion": ("at_most", TIMES),
    "at_least_champion_minus": ("at_least", MINUS), "at_most_champion_plus": ("at_most", PLUS),
}
"""Of each field of a bound, which side it is on, and what it does with the champion's number."""


class Bound(Config):
    """The values of one metric that the gate lets through.

    at_least_champion, at_most_champion: times the champion's value.  at_least_champion_minus, at_most_champion_plus:
    so far from it.  Both are of a champion that is measured on the same data in the same way.
    """

    at_least: FiniteFloat | None = Field(None, examples=[0.9])
    at_most: FiniteFloat | None = Field(None, examples=[0.9])
    at_least_champion: float | None = Field(None, gt=0, allow_inf_nan=False, examples=[0.98])
    at_most_champion: float | None = Field(None, gt=0, allow_inf_nan=False, examples=[1.02])
    at_least_champion_minus: float | None = Field(None, ge=0, allow_inf_nan=False, examples=[0.01])
    at_most_champion_plus: float | None = Field(None, ge=0, allow_inf_nan=False, examples=[0.001])

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError("sets no bound; for example {at_least: 0.9} or {at_most_champion: 1.02}")
        for least, most in (("at_least", "at_most"), ("at_least_champion", "at_most_champion")):
            low, high = getattr(self, least), getattr(self, most)
            if low is not None and high is not None and low > high:
                raise ValueError(f"{least}={low} and {most}={high} let nothing through; exchange them")
        return self

    @model_serializer(mode="wrap")
    def _as_before_there_were_others(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The digest of rules names their verdict: rules that are not relative keep the one they had."""
        found: dict[str, Any] = handler(self)
        return {name: value for name, value in found.items() if value is not None or name in ("at_least", "at_most")}


class PublishConfig(Config):
    """What a version must reach to become champion."""

    NOT_IN_KEY = frozenset({"gate"})  # judged when published, and again when the gate itself changes

    gate: dict[str, Bound] = Field(
        default_factory=dict,
        description="metric: {at_least: …} or {at_most: …}; beside the champion {at_most_champion: 1.02}, a factor, or "
                    "{at_most_champion_plus: 0.001}")
    licence: str = Field("not stated", description="licence of the published weights, for the model card")

    @model_validator(mode="after")
    def _factors_say_something(self) -> Self:
        for metric, bound in self.gate.items():
            for factor, difference in FACTORS.items():
                given = getattr(bound, factor)
                if given is not None and metric.startswith(MAY_BE_NEGATIVE):
                    works = Bound.model_fields[difference].examples
                    raise ValueError(f"publish.gate.{metric}.{factor}={given:g}: a factor says nothing of {metric}, "
                                     f"which may be 0 or below; {difference}: {works[0] if works else 0} works")
        return self


@dataclass(frozen=True)
class Rule:
    """One side of a bound.  name: its field.  given: the number in the settings."""

    name: str
    given: float

    @property
    def side(self) -> Literal["at_least", "at_most"]:
        """Which values pass."""
        return SIDES[self.name][0]

    @property
    def relative(self) -> bool:
        """Whether it takes a champion to judge by it."""
        return bool(SIDES[self.name][1])

    def limit(self, champion: float) -> float:
        """The number that it comes to.  champion: of no matter where the rule is not relative."""
        of = {"": self.given, TIMES: self.given * champion, MINUS: champion - self.given, PLUS: champion + self.given}
        return of[SIDES[self.name][1]]

    def keeps(self, value: float, champion: float = math.nan) -> bool:
        """Whether it lets a value through."""
        limit = self.limit(champion)
        return value >= limit if self.side == "at_least" else value <= limit

    def words(self, champion: str = "champion") -> str:
        """The limit as people read it: 10, champion + 0.001, and a factor before the champion."""
        sign, given = SIDES[self.name][1], f"{self.given:.6g}"
        if not sign:
            return given
        return f"{given} {sign} {champion}" if sign == TIMES else f"{champion} {sign} {given}"


def rules_of(bound: Bound | Mapping[str, Any]) -> list[Rule]:
    """The rules that a bound sets, as a record or as plain values."""
    given = bound.model_dump() if isinstance(bound, Bound) else bound
    return [Rule(name, float(given[name])) for name in SIDES if given.get(name) is not None]
