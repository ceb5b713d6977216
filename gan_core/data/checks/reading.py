"""Reads a source for the check: whatever it raises becomes a finding, and a limited look is spread over the set."""

from __future__ import annotations

import inspect
import re
import traceback
from array import array
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gan_core.data.checks.report import Finding
from gan_core.data.source import SPLITS, Source
from gan_core.errors import DataError, GanError
from gan_core.plugin_files import line_in

STRETCHES = 1000  # that a limited look at a split is spread over
MOST_NAME_BYTES = 64 * 2**20
PLACE = re.compile(rf"({'|'.join(SPLITS)}) item \d+: ")  # in a plug-in's message; the finding has a field for it

T = TypeVar("T")


class Reader:
    """A source's items, split by split.  What goes wrong is in `findings`, and the split it happened to in `broken`.

    limit: items of each split that are looked at; spread evenly where the source can begin anywhere, else the first.
    """

    def __init__(self, source: Source, limit: int | None) -> None:
        self.source, self.limit = source, limit
        self.findings: list[Finding] = []
        self.broken: set[str] = set()
        self.sizes: Mapping[str, int] = self._asked("splits()", lambda: _counts(source.splits()))
        self.facts: Mapping[str, Any] = {} if self.findings else self._asked("facts()", lambda: dict(source.facts()))

    @property
    def total(self) -> int | None:
        """How many items will be read; None where nobody knows."""
        return sum(self._count(split) for split in SPLITS) if self.sizes else None

    @property
    def is_whole(self) -> bool:
        """Whether, after reading, there is nothing that was not looked at."""
        if self.broken:
            return False
        return self.limit is None or (bool(self.sizes) and all(size <= self.limit for size in self.sizes.values()))

    def items(self, split: str) -> Iterator[Any]:
        """What the source yields for a split, unchecked; stops at the first thing that it raises."""
        number = 0
        try:
            for item in self._items(split):
                yield item
                number += 1
        except Exception as error:  # a plug-in may raise anything
            self.broken.add(split)
            self._record(f"{split} item {number:,}", error)

    def first_again(self, split: str, count: int) -> Iterator[Any]:
        """The first items of `items(split)`, read a second time."""
        return islice(self.items(split), count)

    def miscounted(self, split: str, read: int) -> Iterator[Finding]:
        """Where a source yields more or fewer items than its `splits` promises."""
        promised = self._count(split)
        if self.sizes and split not in self.broken and read != promised:
            yield Finding("refuse", "wrong_count", split,
                          f"part() yields {read:,} items, splits() promises {promised:,}",
                          "yield one Example or Bad for each item")

    def _count(self, split: str) -> int:
        size = self.sizes.get(split, 0)
        return size if self.limit is None else min(size, self.limit)

    def _items(self, split: str) -> Iterator[Any]:
        size = self.sizes.get(split, 0)
        if not self.sizes:
            yield from islice(self.source.examples(split), self.limit)
        elif self._count(split) == size > 0:
            yield from self.source.part(split, 0, size)
        else:
            for start, stop in spread(size, self._count(split)):
                yield from self.source.part(split, start, stop)

    def _asked(self, what: str, method: Callable[[], Mapping[str, T]]) -> Mapping[str, T]:
        try:
            return method()
        except Exception as error:
            self.broken.update(SPLITS)
            self._record(what, error)
            return {}

    def _record(self, where: str, error: Exception) -> None:
        kind = "unreadable_source" if isinstance(error, GanError) and error.__cause__ is None else "plug_in_error"
        if isinstance(error, GanError):
            what, _, advice = PLACE.sub("", str(error), count=1).partition("; ")
            place = where if kind == "plug_in_error" else ""
        else:
            what = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
            place = f"{where} ({_line_of(type(self.source), error)})"
            advice = "mend the source, or yield Bad(where, reason) for an item that cannot be used"
        if not any((kind, what) == (known.kind, known.what) for known in self.findings):  # each split may say the same
            self.findings.append(Finding("refuse", kind, place, what, advice))


def _counts(splits: Mapping[str, int]) -> dict[str, int]:
    """A source's own sizes, as far as they can be meant."""
    for split, size in splits.items():
        if split not in SPLITS:
            raise DataError(f"splits() names '{split}', which nothing reads; name them {', '.join(SPLITS)}")
        if not isinstance(size, int | np.integer) or size < 0:
            raise DataError(f"splits() says that {split} has {size!r} items; give a whole number")
    return {split: int(size) for split, size in splits.items()}


def spread(size: int, count: int) -> list[tuple[int, int]]:
    """`count` of `size` items as stretches (start, stop) that lie evenly over the whole; count ≤ size."""
    stretches = min(count, STRETCHES)
    starts = [size * i // stretches for i in range(stretches)]
    lengths = [count * (i + 1) // stretches - count * i // stretches for i in range(stretches)]
    return [(start, start + length) for start, length in zip(starts, lengths, strict=True)]


def _line_of(source: type, error: Exception) -> str:
    """File and line of a source's own code that an error came through; of where it was raised if there is none."""
    try:
        file = inspect.getfile(source)
    except (TypeError, OSError):  # a class without a file, as from an interactive session
        file = ""
    if line := line_in(file, error):
        return f"{Path(file).name}:{line}"
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"


class Names:
    """Names of items by row, in one block of bytes; those after the first 64 MiB are only numbered."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = array("Q")

    def add(self, name: str) -> None:
        if len(self._text) < MOST_NAME_BYTES:
            self._text += name.encode("utf-8", "replace")
            self._ends.append(len(self._text))

    def __getitem__(self, row: int) -> str:
        if row >= len(self._ends):
            return f"item {row:,}"
        return self._text[self._ends[row - 1] if row else 0 : self._ends[row]].decode()


def named(item: Any, split: str, number: int) -> str:
    """The item's file or row; its number in the split where the source does not say."""
    where = getattr(item, "where", "")
    return where if isinstance(where, str) and where else f"{split} item {number:,}"
