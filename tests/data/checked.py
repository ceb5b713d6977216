"""Sets made for the check: sound ones, to be broken on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.data.check import check
from gan_core.data.checks.report import Finding, Report
from gan_core.data.source import SPLITS, Example, Source


class Given(Source):
    """Yields what it is given, whatever that is."""

    items: Any
    known: Any = None

    def examples(self, split: str) -> Iterator[Any]:
        return iter(self.items.get(split, ()))

    def facts(self) -> Mapping[str, Any]:
        return self.known or {}


class Counted(Given):
    """The same as a source that can begin anywhere.  short: items that part leaves out."""

    short: int = 0

    def examples(self, split: str) -> Iterator[Any]:
        return Source.examples(self, split)

    def splits(self) -> Mapping[str, int]:
        return {split: len(self.items.get(split, ())) for split in SPLITS}

    def part(self, split: str, start: int, stop: int) -> Iterator[Any]:
        return iter(self.items[split][start : stop - self.short])


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def sound(
    train: int = 120, test: int = 100, classes: int = 4, make: Callable[[int], Any] | None = None, field: str = "image"
) -> dict[str, list[Example]]:
    """A set in which nothing is wrong.  make: the data of an example, from its number in the whole set."""
    make = make or (lambda number: noise(32, 32, 3, seed=number))
    splits: dict[str, list[Example]] = {}
    for split, start, count in (("train", 0, train), ("test", train, test)):
        splits[split] = [
            Example(**{field: make(number)}, label=number % classes if classes else None, where=f"{split}/{number}.png")
            for number in range(start, start + count)
        ]
    return splits


def report_of(items: Mapping[str, Sequence[Any]], known: Mapping[str, Any] | None = None, **settings: Any) -> Report:
    settings.setdefault("conditional", None)
    return check(Given(items=dict(items), known=known), settings.pop("transforms", None), **settings)


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings}


def only(report: Report, kind: str) -> Finding:
    """The one finding of a report, which must be of that kind."""
    assert kinds(report) == {kind}, report.lines()
    finding, = report.findings
    return finding
