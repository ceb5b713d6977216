"""Splits: whether there is anything to train and to evaluate on, and unusable items."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set

from gan_core.data.checks.concern import Terms
from gan_core.data.checks.report import Finding, Left, Named, plural, printable, share
from gan_core.data.source import Bad

FEWEST = 100  # examples, below which precision, recall and coverage (k = 5) are mostly chance
REASONS_SHOWN = 5
KEPT = 1000  # unusable items that a report lists
VARIABLE = re.compile(r"'[^']*'|\d[\d,.]*")  # what differs from item to item in one reason


class Unusable:
    """Items that cannot be used, by reason; numbers and quotations do not make a reason another."""

    def __init__(self) -> None:
        self.kept: list[Left] = []
        self.items = 0  # of all, usable ones included
        self._reasons: dict[str, tuple[str, Named]] = {}  # without those → first reason, items

    def add(self, split: str, item: Bad) -> None:
        reason = str(item.reason)
        name = str(item.where) or f"{split} item"
        self._reasons.setdefault(VARIABLE.sub("#", reason), (reason, Named()))[1].add(name)
        self.keep(split, name, reason)

    def keep(self, split: str, name: str, reason: str) -> None:
        """Lists an item in the report; only the first thousand are listed."""
        if len(self.kept) < KEPT:
            self.kept.append(Left(split, printable(name), printable(reason)))

    def findings(self, terms: Terms) -> Iterator[Finding]:
        count = sum(named.count for _, named in self._reasons.values())
        severity = terms.for_left_out(count, self.items)
        allowed = _enough(count / max(1, self.items))
        advice = "prepare leaves them out" if severity == "warn" else \
            f"mend or delete them, or leave them out with prepare.max_bad_fraction={allowed}"
        by_count = sorted(self._reasons.values(), key=lambda entry: -entry[1].count)
        for reason, named in by_count[:REASONS_SHOWN]:
            count = named.count
            yield Finding(severity, "unreadable_items", str(named),
                          f"{plural(count, 'item')} of {self.items:,} ({share(count, self.items)}): {reason}", advice)
        if rest := by_count[REASONS_SHOWN:]:
            items = sum(named.count for _, named in rest)
            others = plural(len(rest), "other reason")
            yield Finding(severity, "unreadable_items", rest[0][1].names[0] + ", …",
                          f"{plural(items, 'item')} for {others}, such as: {rest[0][0]}", advice)


def sizes(counts: Mapping[str, int], broken: Set[str], terms: Terms) -> Iterator[Finding]:
    """What is wrong with the splits' sizes.  counts: usable examples by split.  broken: splits that were not read."""
    if not counts["train"] and "train" not in broken:
        yield Finding("refuse", "no_training_examples", "train", "there is no example to train on",
                      "check where the source looks for its files")
        return
    needed = terms.needed
    if needed and not counts[needed] and needed not in broken:
        others = ", ".join(split for split, count in counts.items() if count and split != "train")
        rest = f"{others}: 0, " if others else ""  # what the data has named itself stays as it is
        yield Finding("refuse", "empty_split", needed, "there is no example to evaluate on",
                      f"set data.deal={{{rest}{needed}: 0.1}} where the source deals"
                      + (f", or evaluate.split={others}" if others else ""))
    for split in dict.fromkeys(("train", needed)):
        if split and 0 < counts[split] < FEWEST and split not in broken and terms.whole:
            why = "k-NN metrics" if split == needed else "a GAN"
            yield Finding("warn", "small_split", split, f"{plural(counts[split], 'example')} only, too few for {why}",
                          f"{FEWEST} or more work better")


def _enough(fraction: float) -> float:
    """A round number that is not below the fraction."""
    return next((step for step in (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if step >= fraction), 0.99)
