"""The form of one concern: it is shown every usable example once, and says at the end what it found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gan_core.data.checks.report import Finding, Severity
from gan_core.data.source import Example


@dataclass(frozen=True)
class Terms:
    """What a set is judged by.

    facts: the source's own.  bad_allowed: share of items that prepare leaves out without stopping.  needed: the split
    that evaluate needs.  conditional: whether the model learns by label; None where no model is known.  whole: whether
    every item is read, so that what is not seen is not there.
    """

    facts: Mapping[str, Any]
    bad_allowed: float
    needed: str | None
    conditional: bool | None
    whole: bool

    def for_left_out(self, count: int, total: int) -> Severity:
        """Of items that prepare leaves out: it stops when they are more than it is allowed to."""
        return "refuse" if count > self.bad_allowed * total else "warn"

    @property
    def unpaired(self) -> bool:
        """Whether the labels 0 and 1 are two domains rather than classes."""
        return self.facts.get("domains") == "unpaired"


@dataclass(frozen=True)
class Seen:
    """One usable example.  raw: as the source yields it; example: after the transforms.  row: its number in the check.

    name: its file or row.
    """

    split: str
    row: int
    name: str
    raw: Example
    example: Example


class Concern(Protocol):
    """One kind of defect, or a few that are seen in the same numbers."""

    def add(self, seen: Seen) -> None: ...

    def findings(self, terms: Terms) -> Iterator[Finding]: ...
