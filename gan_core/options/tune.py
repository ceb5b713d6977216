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

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from gan_core.block import Config, Count
from gan_core.options.distributions import Ask, Drawn, as_text
from gan_core.options.objective import Objective as Objective
from gan_core.options.schedule import Duration

Scheduler = Literal["none", "asha", "hyperband", "pbt"]
Searcher = Literal["random", "optuna"]
LOOKS = 8  # at a trial that is not stopped, where nothing else is said
STOPPING = ("asha", "hyperband")
POPULATION = 4  # the worst quarter takes over the best one: fewer trials have no quarter


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

    NOT_IN_KEY = frozenset({"concurrent", "gpus"})

    space: dict[str, Drawn] = Field(
        min_length=1, description="what each field is drawn from, by its dotted name",
        examples=[{"model.generator_optimizer.learning_rate": {"loguniform": [1e-5, 1e-3]}}])
    objective: Objective = Field(Objective(metric="fd_domain"), examples=[{"metric": "fd_domain", "goal": "min"}])
    samples: Count = Field(32, description="trials")
    time_budget: Duration | None = Field(None, description="time after which no trial begins and all end",
                                         examples=["6h"])
    images: Count | None = Field(None, description="images that a trial sees; train.images when null",
                                 examples=[25_600])
    look_every: Count | None = Field(None, description="images between looks at the objective; an eighth of a trial "
                                                       "when null", examples=[2_560])
    look_samples: int = Field(1_000, ge=2, description="generated images of a look, beside as many of the validation "
                                                       "split; both fewer where it has fewer")
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

    def allowed(self, name: str) -> dict[str, list[str]]:
        """Of all that decides whether a field is drawn, the values with which it is, as JSON texts, by name."""
        found: dict[str, list[str]] = {}
        for other, values in self.space[name].when.items():
            conditions = {other: [as_text(value) for value in values], **self.allowed(other)}
            for above, texts in conditions.items():
                found[above] = [text for text in found.get(above, texts) if text in texts]
        return found

    @model_validator(mode="after")
    def _can_be_searched(self) -> Self:
        for reason in (*self._of_names(), *self._of_conditions(), *self._of_scheduler(), *self._of_devices()):
            raise ValueError(reason)
        return self

    def _of_names(self) -> Iterator[str]:
        for name in self.space:
            inner = next((other for other in self.space if other.startswith(f"{name}.")), None)
            if inner is not None:
                yield (f"tune.space.{inner} is inside tune.space.{name}, which is drawn whole; leave one of them out")

    def _of_conditions(self) -> Iterator[str]:
        for name, one in self.space.items():
            for other, values in one.when.items():
                yield from self._of_condition(f"tune.space.{name}.when", name, other, values)
        waiting = [name for name in self.space if name not in self.order]
        if waiting:
            yield (f"tune.space.{waiting[0]}.when waits for what waits for it: {', '.join(waiting)}; leave one `when` "
                   "out")
            return
        for name in self.space:
            for other, texts in self.allowed(name).items():
                if not texts:
                    yield (f"tune.space.{name}.when never holds: what it asks of {other} and what other conditions ask "
                           "of it have no value in common; leave one out")

    def _of_condition(self, field: str, name: str, other: str, values: tuple[Any, ...]) -> Iterator[str]:
        if other not in self.space or other == name:
            near = get_close_matches(other, [known for known in self.space if known != name], n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            yield f"{field} names '{other}', which is no other field of tune.space; {hint}add it there with its choices"
            return
        choices = [as_text(value) for value in self.space[other].choices]
        if not choices:
            yield (f"{field} names '{other}', which is no choice but a {self.space[other].kind}; a condition needs "
                   f"choices: {other}: choice(...) works")
            return
        wrong = [as_text(value) for value in values if as_text(value) not in choices]
        if wrong or not values:
            yield (f"{field}.{other}={wrong[0] if wrong else '[]'} is none of its choices; one or some of "
                   f"{', '.join(choices)} work")

    def _of_scheduler(self) -> Iterator[str]:
        if self.grace is not None and self.scheduler not in STOPPING:
            yield (f"tune.grace={self.grace} is not read by tune.scheduler={self.scheduler}; tune.scheduler=asha reads "
                   "it, or leave it out")
        if self.scheduler != "pbt":
            if self.perturb_every is not None:
                yield (f"tune.perturb_every={self.perturb_every} is not read by tune.scheduler={self.scheduler}; "
                       "tune.scheduler=pbt reads it, or leave it out")
            return
        if self.searcher != "random":
            yield (f"tune.scheduler=pbt changes the values of trials as they run, and tune.searcher={self.searcher} "
                   "learns from values that stay; tune.searcher=random works, or tune.scheduler=asha")
        if self.samples < POPULATION:
            yield (f"tune.samples={self.samples} is no population: with tune.scheduler=pbt the worst quarter takes "
                   f"over the best; tune.samples={POPULATION} works, and 8 or more work better")
        told = next((name for name, one in self.space.items() if one.when), None)
        if told is not None:
            yield (f"tune.space.{told}.when: trials of tune.scheduler=pbt take over each other's values, so all have "
                   "the same fields; leave `when` out, or tune.scheduler=asha works")

    def _of_devices(self) -> Iterator[str]:
        if self.gpus and self.gpus > 1 and self.gpus % 1:
            yield (f"tune.gpus={self.gpus:g}: more than one are whole; tune.gpus={round(self.gpus)} works, or a "
                   "fraction below 1")
        if self.gpus and self.workers > 1 and self.gpus % self.workers:
            yield (f"tune.gpus={self.gpus:g} cannot be dealt to tune.workers={self.workers}, of which each needs "
                   f"its own; tune.gpus={self.workers} works, or tune.workers=1")
