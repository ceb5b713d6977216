"""Whether a champion holds on newer data what it was published with.

Where a gate has rules beside the champion, publish measures it anew on the data of its challenger; here these numbers
are laid beside the ones it was published with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gan_core.config import Bound, Experiment
from gan_core.options.gate import MAY_BE_NEGATIVE, rules_of
from gan_core.published import version_prefix
from gan_core.store import Store
from pipelines.champion import UNREADABLE
from pipelines.compare import DATA, FEATURES, differences, terms
from pipelines.compared_version import Version, read_version
from pipelines.models import Standard, read_verdict

CLEARLY = 0.1  # of the published number
FOLLOW_THE_DATA = {DATA, FEATURES, "n_real", "n_fake"}  # terms that newer data change by themselves


@dataclass(frozen=True)
class Worse:
    """A metric that got worse.  published, anew: its values.  n: examples it was measured on then and now."""

    metric: str
    published: float
    anew: float
    n: tuple[int, int]

    def __str__(self) -> str:
        share = abs(self.anew - self.published) / self.published
        return (f"{self.metric} {self.anew:.6g} on the newest data (n = {self.n[1]:,}) is {share:.0%} worse than "
                f"{self.published:.6g}, with which it was published (n = {self.n[0]:,})")


@dataclass(frozen=True)
class Regression:
    """What got clearly worse of a champion, by its version."""

    champion: str
    metrics: tuple[Worse, ...]


def regression(store: Store, experiment: Experiment, version: str) -> Regression | None:
    """Of the champion that a version was judged beside; None where it holds, or was not measured anew.

    Only what was measured in the same way is compared, on other data; of metrics that may be 0 or below a share says
    nothing.
    """
    name, gate = experiment.name, experiment.publish.gate
    verdict = read_verdict(store, name, version, gate)
    if verdict is None or verdict.champion is None or not verdict.champion.anew:
        return None
    champion = verdict.champion
    try:
        its = read_version(store, version_prefix(name, champion.version), champion.version)
        new = read_version(store, version_prefix(name, version), version)
    except UNREADABLE:
        return None
    worse = tuple(found for metric in champion.anew for found in _worse(metric, gate[metric], champion, its, new))
    return Regression(champion.version, worse) if worse else None


def _worse(metric: str, bound: Bound, champion: Standard, its: Version, new: Version) -> Iterator[Worse]:
    """Where it is clearly worse, on the side on which the gate bounds it."""
    if metric.startswith(MAY_BE_NEGATIVE) or metric not in its.metrics:
        return
    others = {difference.term for difference in differences(terms(metric, new), metric, its)}
    published, anew = float(its.metrics[metric]["value"]), champion.values[metric]
    if others - FOLLOW_THE_DATA or published <= 0:
        return
    sides = {rule.side for rule in rules_of(bound)}
    high = "at_most" in sides and anew > published * (1 + CLEARLY)
    low = "at_least" in sides and anew < published * (1 - CLEARLY)
    if high or low:
        yield Worse(metric, published, anew, (its.metrics[metric]["n_real"], new.metrics[metric]["n_real"]))
