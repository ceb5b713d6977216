"""A search over the settings of an experiment: what is drawn, what is sought, and how much it may take.

    tune:
      space:
        model.generator_optimizer.learning_rate: loguniform(1e-5, 1e-3)
        model.width: choice(16, 32, 64)
      objective: {metric: fd_domain, goal: min}
      samples: 32
      scheduler: asha
      searcher: optuna
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, FiniteFloat

from gan_core.block import Config, Count
from gan_core.options.distributions import Ask, Drawn
from gan_core.options.schedule import Duration

Goal = Literal["min", "max"]
Scheduler = Literal["none", "asha", "hyperband", "pbt"]
Searcher = Literal["random", "optuna"]
LOOKS = 8  # at a trial that is not stopped, where nothing else is said


class Objective(Config):
    """What is sought: one metric, smaller or larger, or a weighted sum of several, which is minimised."""

    metric: str | None = Field(None, examples=["fd_domain"])
    goal: Goal = Field("min", description="which way it is better")
    weighted: dict[str, FiniteFloat] | None = Field(
        None, description="weights by metric; negative for what is better when it is larger",
        examples=[{"fd_domain": 1.0, "recall_domain": -10.0}])

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that it reads."""
        return (self.metric,) if self.metric is not None else tuple(self.weighted or ())

    def value(self, row: Mapping[str, float]) -> float | None:
        """The number that is compared; None where a metric is missing or not finite.  row: values by metric."""
        weights = self.weighted if self.metric is None and self.weighted else dict.fromkeys(self.names, 1.0)
        found = sum(weight * row.get(name, math.nan) for name, weight in weights.items())
        return found if math.isfinite(found) else None


class Repeats(Config):
    """The best trials once more with other seeds, which tells merit from luck."""

    top: int = Field(3, ge=0, description="trials that are repeated; 0: none")
    seeds: Count = Field(2, description="further seeds of each")


class Lengths(Config):
    """How long trials are and when they are looked at, in images seen.

    images: of a trial that is not stopped.  look_every: from one look, and checkpoint, to the next.  grace: before a
    trial may be stopped.  perturb_every: from one exchange between trials of a population to the next.
    """

    images: Count
    look_every: Count
    grace: Count
    perturb_every: Count


class TuneConfig(Config):
    """What `gan tune` searches, and how.  All lengths count images seen."""

    space: dict[str, Drawn] = Field(
        min_length=1, description="what each field is drawn from, by its dotted name",
        examples=[{"model.generator_optimizer.learning_rate": {"loguniform": [1e-5, 1e-3]}}])
    objective: Objective = Objective(metric="fd_domain")
    samples: Count = Field(32, description="trials")
    time_budget: Duration | None = Field(None, description="time after which no trial begins and all end",
                                         examples=["6h"])
    images: Count | None = Field(None, description="images that a trial sees; train.images when null",
                                 examples=[25_600])
    look_every: Count | None = Field(None, description="images between looks at the objective; an eighth of a trial "
                                                       "when null", examples=[2_560])
    look_samples: int = Field(1_000, ge=2, description="generated images of a look, and as many of the validation "
                                                       "split, or as many as it has")
    scheduler: Scheduler = Field("none", description="who ends trials that do not promise enough, or has them learn "
                                                     "from better ones (pbt)")
    grace: Count | None = Field(None, description="for asha and hyperband: images before a trial may be stopped; "
                                                  "look_every when null", examples=[5_120])
    reduction: int = Field(3, ge=2, description="for asha and hyperband: one of so many trials goes on from each rung")
    perturb_every: Count | None = Field(None, description="for pbt: images between exchanges; two looks when null",
                                        examples=[10_240])
    searcher: Searcher = Field("random", description="who proposes values")
    workers: Count = Field(1, description="training processes of a trial")
    gpus: float | None = Field(None, ge=0, description="GPUs of a trial; a fraction lets several share one",
                               examples=[0.25])
    concurrent: Count | None = Field(None, description="trials at a time; as many as there is room for when null",
                                     examples=[4])
    repeats: Repeats = Repeats()
    seed: int = Field(0, ge=0, lt=2**32, description="of the searcher")

    def draw(self, ask: Ask) -> dict[str, Any]:
        """Values by dotted name; a field whose condition does not hold has none."""
        drawn: dict[str, Any] = {}
        for name in self.order:
            if self.space[name].holds(drawn):
                drawn[name] = self.space[name].draw(name, ask)
        return drawn

    @property
    def order(self) -> tuple[str, ...]:
        """The names of the space, each after those that its condition reads."""
        found: dict[str, None] = {}
        while len(found) < len(self.space):
            ready = [name for name, one in self.space.items() if name not in found and found.keys() >= one.when.keys()]
            if not ready:
                break
            found |= dict.fromkeys(ready)
        return tuple(found)

    def lengths(self, train_images: int, batch: int) -> Lengths:
        """With what is left out filled in, looks on whole batches.  train_images, batch: the experiment's own."""
        images = self.images or train_images
        look_every = self.look_every or max(1, round(images / LOOKS / batch)) * batch
        return Lengths(images=images, look_every=look_every, grace=self.grace or look_every,
                       perturb_every=self.perturb_every or 2 * look_every)
