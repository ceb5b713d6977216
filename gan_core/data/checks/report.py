"""What a check found in a data set: findings, a verdict, and the numbers that a data card shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gan_core.data.source import Example

Severity = Literal["refuse", "warn"]
Verdict = Literal["pass", "warn", "refuse"]
NAMES_SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.  where: split, file or line.  what: the defect.  advice: what mends it, or ''."""

    severity: Severity
    kind: str
    where: str
    what: str
    advice: str = ""

    def printable(self) -> Finding:
        """The finding with names and messages that come from the data made fit to print."""
        return replace(self, where=printable(self.where), what=printable(" ".join(self.what.split())),
                       advice=printable(self.advice))


@dataclass(frozen=True)
class SplitFacts:
    """The numbers of one split.

    items: how many it has.  read: how many of those were looked at, `bad` ones included.  histogram: examples by label.
    shapes: examples by the shape and mode in which the source yields them; stored: the same after the transforms.
    size: bytes of all data read.  levels: [256] int64, how often each level 0 … 255 occurs in the images.
    """

    items: int
    read: int
    bad: int
    histogram: Mapping[int, int]
    shapes: Mapping[str, int]
    stored: Mapping[str, int]
    size: int
    levels: NDArray[np.int64]

    @property
    def examples(self) -> int:
        """How many examples were read and can be used."""
        return self.read - self.bad

    @property
    def level_range(self) -> tuple[int, int] | None:
        """The lowest and highest level of its images; None without images."""
        present = np.flatnonzero(self.levels)
        return (int(present[0]), int(present[-1])) if len(present) else None

    @property
    def mean_and_std(self) -> tuple[float, float] | None:
        """Mean and standard deviation of all levels, 0 … 255; None without images."""
        if not (count := int(self.levels.sum())):
            return None
        levels = np.arange(256)
        mean = float(levels @ self.levels) / count
        return mean, float(np.sqrt(((levels - mean) ** 2 @ self.levels) / count))


@dataclass(frozen=True)
class Left:
    """An item that cannot be used."""

    split: str
    where: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What a check found.

    findings: worst first.  quarantined: unusable items, the first thousand.  samples: a few by label, reduced.
    whole: whether every item was read.
    """

    findings: Sequence[Finding]
    splits: Mapping[str, SplitFacts]
    facts: Mapping[str, Any] = field(default_factory=dict)
    quarantined: Sequence[Left] = ()
    samples: Mapping[int | None, Sequence[Example]] = field(default_factory=dict)
    whole: bool = True

    @property
    def verdict(self) -> Verdict:
        """The worst severity; 'pass' where nothing was found."""
        severities = {finding.severity for finding in self.findings}
        return "refuse" if "refuse" in severities else "warn" if severities else "pass"

    @property
    def class_names(self) -> tuple[str, ...]:
        names = self.facts.get("class_names", ())
        return tuple(map(str, names)) if isinstance(names, list | tuple) else ()

    def class_name(self, label: int) -> str:
        """The label's name, or the label itself where it has none."""
        return printable(self.class_names[label]) if label < len(self.class_names) else str(label)

    def as_json(self) -> dict[str, Any]:
        """{"verdict", "findings": [{"severity", "kind", "where", "what", "advice"}]}."""
        return {"verdict": self.verdict, "findings": [vars(finding).copy() for finding in self.findings]}

    def lines(self) -> list[str]:
        """Plain text: a summary, then a line for each finding."""
        width = max((len(finding.kind) for finding in self.findings), default=0)
        found = [f"{f.severity:6}  {f.kind:{width}}  {sentence(f)}" for f in self.findings]
        return [f"{self.verdict:6}  {self.summary()}", *found]

    def summary(self) -> str:
        """One line: how many examples, of what shape, in how many classes."""
        counts = [f"{facts.items:,} {split}" for split, facts in self.splits.items() if facts.items]
        shapes = {shape for facts in self.splits.values() for shape in facts.stored}
        classes = {label for facts in self.splits.values() for label in facts.histogram}
        read, items = (sum(getattr(facts, name) for facts in self.splits.values()) for name in ("read", "items"))
        parts = [", ".join(counts) or "no examples"]
        parts += [next(iter(shapes)) if len(shapes) == 1 else f"{len(shapes):,} different shapes"] if shapes else []
        parts += [plural(len(classes), "class", "classes")] if classes else []
        if not self.whole and read:
            parts.append(f"{read:,} of {items:,} were read" if read < items else "only the beginning was read")
        return "; ".join(parts)


def sentence(finding: Finding) -> str:
    """'where: what; advice'."""
    start = f"{finding.where}: " if finding.where else ""
    return f"{start}{finding.what}" + (f"; {finding.advice}" if finding.advice else "")


def printable(text: str) -> str:
    """Text fit for terminals and files: what does not print, such as escape codes in a file's name, as \\x1b."""
    return text if text.isprintable() else \
        "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plural(count: int, one: str, many: str = "") -> str:
    """'1 image', '1,204 images'."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def share(part: int, whole: int) -> str:
    """'3.1 %', with the digit that says something."""
    percent = 100 * part / max(1, whole)
    return f"{percent:.2g} %" if percent < 10 else f"{percent:.0f} %"


class Named:
    """How many items have something, and the names of the first few."""

    def __init__(self) -> None:
        self.count = 0
        self.names: list[str] = []

    def add(self, name: str) -> None:
        self.count += 1
        if len(self.names) < NAMES_SHOWN:
            self.names.append(name)

    def __str__(self) -> str:
        """'a.png, b.png, c.png, …'."""
        return ", ".join(self.names) + (", …" if self.count > len(self.names) else "")


def listed(values: Sequence[object], most: int = 8) -> str:
    """'0, 1, 2' or '0, 1, 2, … (40 in all)'."""
    shown = ", ".join(map(str, values[:most]))
    return shown if len(values) <= most else f"{shown}, … ({len(values):,} in all)"
