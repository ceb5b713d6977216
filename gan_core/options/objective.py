"""What a search seeks: one metric, or a weighted sum of several."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from gan_core.block import Config

Goal = Literal["min", "max"]
BETTER: Mapping[str, Goal] = {
    "fd_domain": "min", "kid_domain": "min",
    "precision_domain": "max", "recall_domain": "max", "density_domain": "max", "coverage_domain": "max",
    "agreement/class": "max", "agreement/raw_class": "max",
}
"""Metrics of which it is known which way they are better."""
WATCHED = ("diversity/pairwise", "diversity/class", "diversity/raw_pairwise", "diversity/raw_class", "agreement/class",
           "agreement/raw_class", "logits/train", "logits/validation", "overfit/discriminator")
"""What is in the curves of every recipe, as far as the data has it; several discriminators have each their own too."""
CLOSED = ("diversity", "agreement", "overfit")  # of which there are no others
OF_RECIPES = ("loss", "penalty", "accuracy", "logits", "gradient", "augment")  # of which there may be others


class Objective(Config):
    """What is sought: one metric, smaller or larger, or a weighted sum of several, which is minimised.

    Any scalar of the training curves, and what a look measures on the validation split: fd_domain, kid_domain,
    precision_domain, recall_domain, density_domain, coverage_domain.
    """

    metric: str | None = Field(None, examples=["fd_domain"])
    goal: Goal = Field("min", description="which way `metric` is better")
    weighted: dict[str, FiniteFloat] | None = Field(
        None, description="weights by metric; negative for what is better when it is larger",
        examples=[{"fd_domain": 1.0, "recall_domain": -10.0}])

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that it reads."""
        return tuple(self._weights)

    def value(self, row: Mapping[str, float]) -> float | None:
        """The number that is compared; None where a metric is missing or not finite.  row: values by metric."""
        found = sum(weight * row.get(name, math.nan) for name, weight in self._weights.items())
        return found if math.isfinite(found) else None

    @property
    def _weights(self) -> Mapping[str, float]:
        return self.weighted if self.weighted is not None else {str(self.metric): 1.0}

    @model_validator(mode="after")
    def _can_be_sought(self) -> Self:
        for reason in (*self._of_form(), *self._of_names(), *self._of_goals()):
            raise ValueError(reason)
        return self

    def _of_form(self) -> Iterator[str]:
        if (self.metric is None) == (self.weighted is None):
            what = "no metric" if self.metric is None else "both metric and weighted"
            yield (f"tune.objective has {what}; {{metric: fd_domain, goal: min}} works, or "
                   "{weighted: {fd_domain: 1.0, recall_domain: -10.0}}")
        if self.weighted is not None and not self.weighted:
            yield "tune.objective.weighted={} weighs nothing; {fd_domain: 1.0, recall_domain: -10.0} works"
        if self.weighted is not None and self.goal == "max":
            yield ("tune.objective.goal=max: a weighted sum is minimised; give what is better when it is larger a "
                   "negative weight, and leave goal out")

    def _of_names(self) -> Iterator[str]:
        for name in self.names:
            hint = _unknown(name)
            if hint is not None:
                field = f"tune.objective.{'weighted' if self.metric is None else 'metric'}"
                yield (f"{field} names '{name}', which no look measures; {hint}known: "
                       f"{', '.join(dict.fromkeys((*BETTER, *WATCHED)))}, and recipes' own such as loss/generator")

    def _of_goals(self) -> Iterator[str]:
        if self.metric is not None:
            better = BETTER.get(self.metric, self.goal)
            if better != self.goal:
                yield (f"tune.objective.goal={self.goal}: {self.metric} is better when it is "
                       f"{'larger' if better == 'max' else 'smaller'}; goal: {better} works")
            return
        for name, weight in self._weights.items():
            right = -1 if BETTER.get(name, "min") == "max" else 1
            if weight == 0:
                yield f"tune.objective.weighted.{name}=0 leaves it out; {name}: {right:.1f} works"
            elif name in BETTER and weight * right < 0:
                yield (f"tune.objective.weighted.{name}={weight:g}: the sum is minimised, and {name} is better when it "
                       f"is {'larger' if right < 0 else 'smaller'}; {name}: {-weight:g} works")


def _unknown(name: str) -> str | None:
    """None for what is measured, or may be by a recipe; else what may have been meant, in words."""
    head, slash, _ = name.partition("/")
    known = (*BETTER, *WATCHED)
    if name in known or name.startswith("overfit/discriminator/"):
        return None
    others = [other for other in (*CLOSED, *OF_RECIPES) if other != head]
    if slash and head not in CLOSED and not get_close_matches(head, others, n=1, cutoff=0.8):
        return None
    near = get_close_matches(name, known, n=1)
    return f"did you mean '{near[0]}'? " if near else ""
