"""Labels: whether all examples have one, and whether they look like classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice

from gan_core.data.checks.concern import Seen, Terms
from gan_core.data.checks.report import Finding, Named, Severity, listed, plural

IMBALANCE = 10  # largest class to smallest
MANY_CLASSES = 0.5  # classes for each example, from which on a label looks like a number of the example
MIND_THE_FOLDER = ("a class must be named by the folder right below the split, as in train/cat/1.png; "
                   "see the source's options for labels, or set model.conditional=false")


class Labels:
    """Examples by label, split by split.

    Of a set that is only looked at in part, nothing is said of classes that were not seen.
    """

    def __init__(self) -> None:
        self._counts: dict[str, Counter[int]] = {}
        self._without = Named()
        self._with = Named()

    def add(self, seen: Seen) -> None:
        label = seen.example.label
        if label is None:
            self._without.add(seen.name)
            return
        self._with.add(seen.name)
        self._counts.setdefault(seen.split, Counter())[int(label)] += 1

    def findings(self, terms: Terms) -> Iterator[Finding]:
        if not self._with.count:
            if terms.conditional and self._without.count:
                yield Finding("refuse", "no_labels", "", "no example has a label, and the model learns by label",
                              "set model.conditional=false, or give labels in the source's options")
            return
        if self._without.count:
            yield self._missing(terms)
        if terms.unpaired:
            yield from _domains(self._counts, terms)
            return
        names = terms.facts.get("class_names", ())
        known = len(names) if isinstance(names, list | tuple) else 0
        train = self._counts.get("train", Counter())
        yield from self._out_of_range(known, terms)
        if train:
            yield from _classes(train, max(known, max(train) + 1), terms)
        yield from self._unseen(train, terms)

    def _missing(self, terms: Terms) -> Finding:
        both = self._without.count + self._with.count
        few = min(self._without, self._with, key=lambda named: named.count)
        has = "no label, the others have one" if few is self._without else "a label, the others have none"
        return Finding(terms.for_left_out(few.count, both), "missing_labels", str(few),
                       f"{few.count:,} of {both:,} examples have {has}", "label all, or none")

    def _out_of_range(self, known: int, terms: Terms) -> Iterator[Finding]:
        for split, counts in self._counts.items():
            beyond = {label: count for label, count in sorted(counts.items()) if label >= known}
            if known and beyond:
                number = sum(beyond.values())
                yield Finding(terms.for_left_out(number, self._with.count), "label_out_of_range", split,
                              f"{plural(number, 'example')} labelled {listed(list(beyond))}, and there are "
                              f"{known} class names: 0 … {known - 1}", "labels count from 0; name every class")

    def _unseen(self, train: Counter[int], terms: Terms) -> Iterator[Finding]:
        for split, counts in self._counts.items():
            unseen = sorted(counts.keys() - train.keys())
            if unseen and train and terms.whole:
                number = sum(counts[label] for label in unseen)
                yield Finding("warn", "unseen_classes", split,
                              f"{plural(number, 'example')} of classes that train lacks: {listed(unseen)}",
                              "metrics by class mean nothing for them; deal the splits anew, or leave them out")


def _classes(train: Counter[int], classes: int, terms: Terms) -> Iterator[Finding]:
    """What is odd about the classes of the training split.  classes: how many labels there can be."""
    severity: Severity = "refuse" if terms.conditional and terms.whole else "warn"
    most, least = train.most_common(1)[0][0], train.most_common()[-1][0]
    if len(train) == 1:
        if terms.whole:
            yield Finding(severity, "one_class", "train", f"every label is {_name(terms.facts, most)}", MIND_THE_FOLDER)
        return
    if len(train) > MANY_CLASSES * train.total():
        yield Finding(severity, "labels_are_ids", "train", f"{len(train):,} classes for {train.total():,} examples: "
                      "the label looks like a number of the example", MIND_THE_FOLDER)
        return
    if terms.whole:
        yield from _gaps(train, classes, terms)
    if train[most] > IMBALANCE * train[least]:
        yield Finding("warn", "imbalanced", "train",
                      f"{_name(terms.facts, most)} has {plural(train[most], 'example')}, {_name(terms.facts, least)} "
                      f"{train[least]:,}: {train[most] / train[least]:.0f} times as many",
                      "set train.sampling=balanced")


def _gaps(train: Counter[int], classes: int, terms: Terms) -> Iterator[Finding]:
    empty = classes - len(train)
    if not empty:
        return
    if empty == 1 and 0 not in train and not terms.facts.get("class_names"):
        yield Finding("warn", "labels_from_one", "train", f"labels are 1 … {classes - 1}, so that class 0 is empty",
                      "subtract 1 in the source")
        return
    first = list(islice((label for label in range(classes) if label not in train), 8))
    names = ", ".join(_name(terms.facts, label) for label in first) + (", …" if empty > len(first) else "")
    yield Finding("refuse" if empty > len(train) else "warn", "empty_classes", "train",
                  f"{empty:,} of {classes:,} classes have no examples: {names}",
                  "number the classes without gaps, or leave their names out")


def _domains(counts: Mapping[str, Counter[int]], terms: Terms) -> Iterator[Finding]:
    for split, found in counts.items():
        a, b = found[0], found[1]
        if split == "train" and not (a and b):
            yield Finding("refuse", "empty_domain", split, f"domain A has {a:,} examples, domain B {b:,}",
                          "both domains need training examples")
        elif max(a, b) > IMBALANCE * min(a, b) and split in ("train", terms.needed):
            yield Finding("warn", "uneven_domains", split, f"domain A has {a:,} examples, domain B {b:,}",
                          "the smaller one is seen again and again; add to it")


def _name(facts: Mapping[str, object], label: int) -> str:
    """'cat (3)', or '3' where classes have no names."""
    names = facts.get("class_names", ())
    has_name = isinstance(names, list | tuple) and label < len(names) and str(names[label]) != str(label)
    return f"{names[label]} ({label})" if has_name and isinstance(names, list | tuple) else str(label)
