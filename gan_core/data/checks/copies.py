"""Exact copies: within a split, with another label, and of training examples in the other splits.

An example is a digest of 8 bytes here, so that a set of millions fits.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from gan_core.data.checks.concern import Seen, Terms
from gan_core.data.checks.reading import Names
from gan_core.data.checks.report import NAMES_SHOWN, Finding, plural, share
from gan_core.data.source import SPLITS, Example

# Published sets have some copies: 1.5 % of PneumoniaMNIST's validation images are in its training split, 3 % of
# CIFAR-10's test images all but are (Barz & Denzler 2020).  A split made wrongly has tens of per cent.
FEW = 0.01
LEAKED = 0.05
NO_LABEL = -1


def digest_of(example: Example) -> int:
    """64 bits of all data that an example holds; its label is no part of it."""
    digest = blake2b(digest_size=8)
    for name, value in example.tensors().items():
        digest.update(f"{name} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    return int.from_bytes(digest.digest(), "little")


class Copies:
    """Digest, split and label of every example.  skip: rows that are judged elsewhere, such as blank images."""

    def __init__(self, names: Names, skip: set[int]) -> None:
        self._names, self._skip = names, skip
        self._digests, self._rows, self._labels = array("Q"), array("Q"), array("q")
        self._splits = array("B")
        self._texts = 0

    def add(self, seen: Seen) -> int:
        """The example's digest."""
        digest = digest_of(seen.raw)
        if seen.row not in self._skip:
            self._digests.append(digest)
            self._rows.append(seen.row)
            self._labels.append(NO_LABEL if seen.raw.label is None else int(seen.raw.label))
            self._splits.append(SPLITS.index(seen.split))
            self._texts += seen.raw.tokens is not None
        return digest

    def findings(self, terms: Terms) -> Iterator[Finding]:
        digests, rows = np.frombuffer(self._digests, np.uint64), np.frombuffer(self._rows, np.uint64)
        splits, labels = np.frombuffer(self._splits, np.uint8), np.frombuffer(self._labels, np.int64)
        if not len(digests):
            return
        order = np.argsort(digests, kind="stable")  # within a group of copies, in the order of reading
        groups = _Groups(digests[order], splits[order], labels[order], rows[order])
        if len(digests) > 1 and groups.starts.size == 1:
            yield Finding("refuse", "all_identical", "", f"all {len(digests):,} examples are the same",
                          "look at how the source reads an item: it may return one buffer again and again")
            return
        for split in SPLITS:
            yield from self._within(groups, split)
        yield from self._labelled_otherwise(groups, terms)
        for split in SPLITS[1:]:
            yield from self._leaked(groups, split)

    def _within(self, groups: _Groups, split: str) -> Iterator[Finding]:
        here = groups.splits == SPLITS.index(split)
        again = here & groups.is_repeat(groups.splits)
        count, total = int(again.sum()), int(here.sum())
        if count > FEW * total:
            at = int(np.flatnonzero(again)[groups.rows[again].argmin()])
            first = groups.start_of(at) + int(np.argmax(here[groups.start_of(at):]))
            yield Finding("warn", "duplicates", split,
                          f"{share(count, total)} of the examples, {count:,}, are copies of another, such as "
                          f"{self._pair(groups, first, at)}", "leave one of each")

    def _labelled_otherwise(self, groups: _Groups, terms: Terms) -> Iterator[Finding]:
        """Copies whose labels differ; of short texts, which may well mean two things, nothing is said."""
        if self._texts:
            return
        first_label = groups.labels[groups.starts][groups.group]
        differs = (groups.labels != first_label) & (groups.labels != NO_LABEL) & (first_label != NO_LABEL)
        if not (count := int(differs.sum())):
            return
        at = int(np.flatnonzero(differs)[groups.rows[differs].argmin()])
        pair = self._pair(groups, groups.start_of(at), at)
        if terms.unpaired:
            severity_share = count / max(1, int((groups.labels == 1).sum()))
            yield Finding("refuse" if severity_share > 0.5 else "warn", "same_in_both_domains", "",
                          f"{plural(count, 'example')} of one domain are in the other too, such as {pair}",
                          "check that the two domains come from different folders")
        else:
            yield Finding("warn", "label_conflicts", "",
                          f"{plural(count, 'copy', 'copies')} with another label than the first, such as {pair}",
                          "correct the labels, or take both out")

    def _leaked(self, groups: _Groups, split: str) -> Iterator[Finding]:
        here = groups.splits == SPLITS.index(split)
        trained = np.zeros(groups.starts.size, bool)
        trained[groups.group[groups.splits == SPLITS.index("train")]] = True
        leaked = here & trained[groups.group]
        count, total = int(leaked.sum()), int(here.sum())
        if not count:
            return
        named = [self._names[int(row)] for row in np.sort(groups.rows[leaked])[:NAMES_SHOWN]]
        at = int(np.flatnonzero(leaked)[groups.rows[leaked].argmin()])
        pair = self._pair(groups, groups.start_of(at), at)  # training examples are read first
        names = ", ".join(named[1:]) + (", …" if count > NAMES_SHOWN else "")
        refuse = count > LEAKED * total and not self._texts
        yield Finding("refuse" if refuse else "warn", "leakage", split,
                      f"{share(count, total)} of the examples, {count:,}, are in train too: {pair}"
                      + (f"; {names}" if names else ""),
                      f"take them out of {split}, or metrics reward a model that repeats its training data")

    def _pair(self, groups: _Groups, first: int, second: int) -> str:
        return f"{self._names[int(groups.rows[first])]} = {self._names[int(groups.rows[second])]}"


class _Groups:
    """Examples sorted by digest.  starts: where each group of copies begins.  group: of each example."""

    def __init__(
        self, digests: NDArray[np.uint64], splits: NDArray[np.uint8], labels: NDArray[np.int64],
        rows: NDArray[np.uint64],
    ) -> None:
        new = np.append(True, digests[1:] != digests[:-1])
        self.splits, self.labels, self.rows = splits, labels, rows
        self.starts = np.flatnonzero(new)
        self.group = np.cumsum(new) - 1

    def start_of(self, at: int) -> int:
        return int(self.starts[self.group[at]])

    def is_repeat(self, splits: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Whether the example before is a copy in the same split; splits are read one after the other."""
        same_group = np.append(False, self.group[1:] == self.group[:-1])
        same_split: NDArray[np.bool_] = np.append(False, splits[1:] == splits[:-1])
        return same_group & same_split
