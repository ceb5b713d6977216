"""How a new version stands against the champion and against the version before it: what publishing adds to its report.

    files |= stood(store, "digits", "0003", key=key, parents=parents, files=files)

What is told is of the moment before the version is judged, and never changes afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from gan_core.addresses import CHAMPION, current_alias
from gan_core.errors import GanError
from gan_core.manifest import VERSION, Manifest, Parent
from gan_core.outages import reason, transient
from gan_core.published import version_prefix
from gan_core.store import Store
from pipelines.compare import Comparison, Metric, compare
from pipelines.compared_version import Version, read_version, version_of
from pipelines.models import now, previous_version
from pipelines.report_names import AGAINST, MARKER, REPORT_JSON

PREVIOUS = "previous"
REPORT = "report.html"
UNREADABLE = (GanError, OSError, ValueError, TypeError, KeyError, AttributeError)  # pydantic's are ValueErrors

Found = TypeVar("Found")


@dataclass(frozen=True)
class Other:
    """A version that the new one is put beside.

    roles: 'champion', 'previous' or both.  number: "" where not even that could be read.  comparison: of this version
    and the new one, in this order; None where it could not be read, and `unread` says why.
    """

    roles: tuple[str, ...]
    number: str
    comparison: Comparison | None
    unread: str = ""

    @property
    def title(self) -> str:
        """'champion and previous 0002'."""
        return f"{' and '.join(self.roles)} {self.number}".rstrip()


@dataclass(frozen=True)
class Standing:
    """A new version and those it is put beside, champion first; none for the first version.  published: a date, UTC."""

    this: Version
    name: str
    number: str
    others: tuple[Other, ...]

    @property
    def published(self) -> str:
        """YYYY-MM-DD."""
        return self.this.created[:10]


def stood(
    store: Store, name: str, number: str, *, key: str, parents: tuple[Parent, ...], files: Mapping[str, bytes]
) -> dict[str, bytes]:
    """report.html and report.json of the version that takes this number, with how it stands against others.

    files: all of the version's.  A report.html without the marker, of older scores, stays as it is.
    """
    from pipelines.standing_page import section

    standing = stand(store, name, number, key=key, parents=parents, files=files)
    facts = json.loads(files[REPORT_JSON]) | {AGAINST: against(standing)}
    return {
        REPORT: files[REPORT].replace(MARKER.encode(), section(standing).encode(), 1),
        REPORT_JSON: (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode(),
    }


def stand(
    store: Store, name: str, number: str, *, key: str, parents: tuple[Parent, ...], files: Mapping[str, bytes]
) -> Standing:
    """Reads the champion and the version before, as they are now.  One that cannot be read is told, not raised."""
    manifest = Manifest(kind=VERSION, key=key, files=(), parents=parents, created=now())
    this = version_of(store, version_prefix(name, number), f"{name}@{number}", manifest, files)
    return Standing(this, name, number, tuple(_others(this, name, number)))


def _others(this: Version, name: str, number: str) -> Iterator[Other]:
    champion, unread = _tried(this.store, partial(current_alias, this.store, name, CHAMPION))
    if unread:
        yield Other((CHAMPION,), "", None, unread)
    before = previous_version(this.store, name, number)
    roles = {champion.version: (CHAMPION,)} if champion else {}
    if before is not None:
        roles[before] = (*roles.get(before, ()), PREVIOUS)
    for which, of in roles.items():
        comparison, unread = _tried(this.store, partial(_compared, this, name, which))
        yield Other(of, which, comparison, unread)


def _compared(this: Version, name: str, which: str) -> Comparison:
    return compare([read_version(this.store, version_prefix(name, which), f"{name}@{which}"), this])


def _tried(store: Store, read: Callable[[], Found]) -> tuple[Found | None, str]:
    """What was read, or why it could not be; an outage is raised, for it passes and the report stays."""
    try:
        return read(), ""
    except UNREADABLE as error:
        if transient(error):
            raise
        return None, reason(error).replace(f"{store.url}/", "")


def against(standing: Standing) -> dict[str, Any]:
    """The same facts for programs; docs/compare.md says what each key holds."""
    of = {role: _facts(other) for other in standing.others for role in other.roles}
    return {"name": standing.name, "version": standing.number, "published": standing.published,
            **{role: of.get(role) for role in (CHAMPION, PREVIOUS)}}


def _facts(other: Other) -> dict[str, Any]:
    if other.comparison is None:
        return {"version": other.number or None, "digest": None, "unread": other.unread}
    return {
        "version": other.number,
        "digest": other.comparison.versions[0].manifest.digest,
        "unread": None,
        "metrics": {metric.name: _metric_facts(metric) for metric in other.comparison.metrics},
        "settings": {name: {"other": theirs.get("value"), "this": ours.get("value")}
                     for name, (theirs, ours) in other.comparison.settings.items()},
    }


def _metric_facts(metric: Metric) -> dict[str, Any]:
    theirs, ours = metric.cells
    return {"value": theirs.value, "difference": ours.difference, "better": ours.better, "within": ours.within,
            "refused": reasons(metric)}


def reasons(metric: Metric) -> list[str]:
    """'split test against validation': the new version's terms against the other's; none where numbers are compared."""
    return [difference.from_other for difference in metric.refused]
