"""The champion's numbers on the terms of a version that would replace it.

A number that the champion was published with is taken where it was measured on the same data in the same way, as
`pipelines.compare` says; for the others it is measured anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from gan_core.errors import DamagedFile
from gan_core.published import version_prefix
from gan_core.store import Store
from pipelines.compare import differences, terms
from pipelines.compared_version import Version, read_version
from pipelines.models import Standard

Score = Callable[[str], Mapping[str, Mapping[str, Any]]]
"""The prefix of a champion to its metrics on the terms of the version that would replace it, as in metrics.json.

Raises CannotScore where it cannot be measured there.
"""


class CannotScore(Exception):  # noqa: N818 - named for what happened
    """Why a champion cannot be measured on another version's data: a clause that follows 'champion 0001 '."""


def as_published(champion: str) -> Mapping[str, Mapping[str, Any]]:
    """A Score of who has no data at hand."""
    raise CannotScore("was measured on other data or in another way")


UNREADABLE = (DamagedFile, ValueError, KeyError, TypeError)  # pydantic's are ValueErrors


def standard(
    store: Store, name: str, champion: str, challenger: str, metrics: Sequence[str], score: Score
) -> Standard:
    """The champion's values of those of these metrics that the challenger has, on the challenger's terms."""
    new = read_version(store, version_prefix(name, challenger), challenger)
    wanted = [metric for metric in metrics if metric in new.metrics]
    without = partial(_without, name, champion, challenger)
    try:
        its = read_version(store, version_prefix(name, champion), champion)
    except UNREADABLE:
        return Standard(version=champion, values={}, without=without(wanted, "is not whole any more"))
    values = {metric: float(its.metrics[metric]["value"]) for metric in wanted if _alike(metric, new, its)}
    wanted = [metric for metric in wanted if metric not in values]
    try:
        found = score(version_prefix(name, champion)) if wanted else {}
    except CannotScore as reason:
        return Standard(version=champion, values=values, without=without(wanted, str(reason)))
    anew = {metric: float(found[metric]["value"]) for metric in wanted if metric in found}
    left = [metric for metric in wanted if metric not in found]
    return Standard(version=champion, values=values | anew, anew=tuple(anew),
                    without=without(left, "is no model of which that is measured"))


def _alike(metric: str, new: Version, its: Version) -> bool:
    return metric in its.metrics and not any(differences(terms(metric, new), metric, its))


def _without(name: str, champion: str, challenger: str, metrics: Sequence[str], why: str) -> dict[str, str]:
    told = (f"champion {champion} {why}; where {challenger} is the better one, `gan models promote {name}@{challenger} "
            "--reason …` makes it champion, or leave the rule out")
    return dict.fromkeys(metrics, told)
