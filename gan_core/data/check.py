"""What is wrong with a data set, said before anything runs: one pass over its examples, in memory that is bounded.

kind                    severity      what it means
unreadable_source       refuse        the set cannot be opened or listed
plug_in_error           refuse        the source's own code raised something
wrong_count             refuse        part() yields more or fewer items than splits() says
not_repeatable          refuse        the first items differ when they are read again
unreadable_items        refuse, warn  items are damaged; warn (also for *) where prepare may leave out as many
not_an_example, no_data, wrong_type, wrong_axes, wrong_label, wrong_weight
                        refuse, warn* items that are not what Example promises
mixed_fields            refuse        some examples hold an image, others audio
mixed_shapes            refuse, warn* sizes or modes differ after the transforms
extreme_size            warn          a side below 8 or above 1024, or 4 times the other
awkward_size            warn          sides that do not halve to 16 or less: no generator can grow to them
alpha_channel           warn          transparency would be trained as a further channel
no_training_examples, empty_split
                        refuse        nothing to train on, or to evaluate on
small_split             warn          fewer than 100 examples
no_labels               refuse        none, and the model learns by label
missing_labels, label_out_of_range
                        refuse, warn* some examples have no label, or one that no class name has
labels_from_one         warn          class 0 is empty
empty_classes           warn, refuse  labels without examples; refuse when they are most
one_class, labels_are_ids
                        warn, refuse  one label for all, or one for each; refuse when the model learns by label
imbalanced              warn          the largest class has over 10 times the examples of the smallest
unseen_classes          warn          another split has classes that train lacks
constant_images, blank_images, transparent_images, silent_clips, empty_texts, frozen_clips
                        warn, refuse  there is nothing in them; refuse when they are more than half
value_range             warn, refuse  levels like 0 … 15 where 255 is white; refuse for 0 and 1
all_identical           refuse        every example is the same
duplicates              warn          above 1 % of a split are copies of others in it
label_conflicts         warn          copies with different labels
leakage                 warn, refuse  training examples in another split; refuse above 5 % of it
near_duplicates, near_leakage
                        warn          the same, above 1 %, for images that look alike
clipped_clips           warn          recordings cut off at full scale
uneven_loudness         warn          loud recordings have 10 times the peak of quiet ones
unknown_tokens          refuse        tokens that the vocabulary lacks
mostly_padding          warn          over 90 % of all tokens
identical_pairs, same_in_both_domains
                        warn, refuse  A and B are the same; refuse when more than half are
misaligned_pairs        refuse        A and B differ in size
empty_domain            refuse        an unpaired set lacks one of its domains
uneven_domains          warn          one domain has over 10 times the examples of the other
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, zip_longest
from typing import Any

import numpy as np

from gan_core.data.checks.concern import Concern, Seen, Terms
from gan_core.data.checks.contract import Contract, fault
from gan_core.data.checks.copies import Copies, digest_of
from gan_core.data.checks.labels import Labels
from gan_core.data.checks.motion import Motion
from gan_core.data.checks.pairs import Pairs
from gan_core.data.checks.reading import Names, Reader, named
from gan_core.data.checks.report import Finding, Report, SplitFacts
from gan_core.data.checks.samples import Samples
from gan_core.data.checks.shapes import Shapes, shown_all
from gan_core.data.checks.similar import Similar
from gan_core.data.checks.sound import Sound
from gan_core.data.checks.splits import Unusable, sizes
from gan_core.data.checks.tokens import Tokens
from gan_core.data.checks.values import Values
from gan_core.data.source import SPLITS, Bad, Example, Source
from gan_core.errors import DataError

TOLD_EVERY = 100  # items between two calls of progress
READ_TWICE = 16

Progress = Callable[[int, int | None], None]


def check(
    source: Source,
    transforms: Callable[[Example], Example] | None = None,
    *,
    limit: int | None = None,
    bad_allowed: float = 0.0,
    split_needed: str | None = "test",
    conditional: bool | None = None,
    progress: Progress | None = None,
) -> Report:
    """Reads a data set once and says what is wrong with it; raises nothing for anything that the set does.

    transforms: what prepare does to each example; shapes and blank images are judged after it.  limit: items of each
    split that are looked at.  bad_allowed: share of items that prepare may leave out.  split_needed: what evaluate
    reads.  conditional: whether the model learns by label, where it is known.  progress: told (items read, of all).
    """
    reader = Reader(source, limit)
    if reader.broken:
        return Report(_in_order(reader.findings), {}, whole=False)
    return _Check(reader, transforms, progress).report(bad_allowed, split_needed, conditional)


class _Check:
    """One pass: every item to the contract, every usable example to every concern."""

    def __init__(
        self, reader: Reader, transforms: Callable[[Example], Example] | None, progress: Progress | None
    ) -> None:
        self._reader, self._transforms, self._progress = reader, transforms, progress
        self._names = Names()
        self._contract, self._unusable, self._samples = Contract(), Unusable(), Samples()
        self._shapes, self._labels, self._values = Shapes(), Labels(), Values()
        self._copies = Copies(self._names, self._values.empty_rows)
        self._similar = Similar(self._names, self._values.empty_rows)
        others: list[Concern] = [Sound(), Tokens(reader.facts.get("vocabulary")), Motion(), Pairs()]
        self._concerns: list[Concern] = [self._shapes, self._labels, self._values, *others]
        self._first_digests: list[int] = []
        self._read = self._rows = 0

    def report(self, bad_allowed: float, needed: str | None, conditional: bool | None) -> Report:
        splits = {split: self._pass_over(split) for split in SPLITS}
        if self._progress is not None:
            self._progress(self._read, self._read)
        terms = Terms(self._reader.facts, bad_allowed, needed, conditional, self._reader.is_whole)
        self._unusable.items = self._contract.items = self._read
        found = list(chain(self._reader.findings, self._about_splits(splits, terms), self._about_examples(terms)))
        return Report(_in_order(found), splits, self._reader.facts, self._unusable.kept, self._samples.chosen(),
                      terms.whole)

    def _about_splits(self, splits: dict[str, SplitFacts], terms: Terms) -> Iterator[Finding]:
        yield from self._unusable.findings(terms)
        yield from self._contract.findings(terms)
        for split, facts in splits.items():
            yield from self._reader.miscounted(split, facts.read)
        if not self._reader.broken:
            yield from self._read_again()
        faulty = {split for split, facts in splits.items() if facts.bad and not facts.examples}
        yield from sizes({split: facts.examples for split, facts in splits.items()},
                         self._reader.broken | faulty, terms)

    def _about_examples(self, terms: Terms) -> Iterator[Finding]:
        for concern in self._concerns:
            yield from concern.findings(terms)
        yield from self._copies.findings(terms)
        yield from self._similar.findings(terms)

    def _pass_over(self, split: str) -> SplitFacts:
        """Reads one split."""
        histogram: Counter[int] = Counter()
        shapes: Counter[str] = Counter()
        stored: Counter[str] = Counter()
        read = bad = size = 0
        for number, item in enumerate(self._reader.items(split)):
            read += 1
            seen = self._seen(item, split, number)
            self._tell()
            if seen is None:
                bad += 1
                continue
            self._show(seen)
            raw = shown_all(seen.raw)
            shapes[raw] += 1
            stored[raw if seen.example is seen.raw else shown_all(seen.example)] += 1
            size += sum(value.nbytes for value in seen.raw.tensors().values())
            if seen.raw.label is not None:
                histogram[int(seen.raw.label)] += 1
        levels = self._values.levels.get(split, np.zeros(256, np.int64))
        items = max(read, self._reader.sizes.get(split, 0))
        return SplitFacts(items, read, bad, dict(sorted(histogram.items())), dict(shapes.most_common()),
                          dict(stored.most_common()), size, levels)

    def _seen(self, item: Any, split: str, number: int) -> Seen | None:
        """The item as the concerns see it; None, and noted, where it cannot be used."""
        if isinstance(item, Bad):
            self._unusable.add(split, item)
            return None
        name = named(item, split, number)
        if found := fault(item):
            self._contract.add(split, name, found)
            self._unusable.keep(split, name, found[1])
            return None
        try:
            example = self._transforms(item) if self._transforms else item
        except Exception as error:  # a transform meets what nobody has seen
            failed = f"a transform failed: {type(error).__name__}: {error}"
            reason = str(error) if isinstance(error, DataError) else failed
            self._unusable.add(split, Bad(name, reason))
            return None
        return Seen(split, self._rows, name, item, example)

    def _show(self, seen: Seen) -> None:
        self._names.add(seen.name)
        self._rows += 1
        for concern in self._concerns:
            concern.add(seen)
        self._samples.add(seen)
        digest = self._copies.add(seen)
        self._similar.add(seen, digest)
        if seen.split == "train" and len(self._first_digests) < READ_TWICE:
            self._first_digests.append(digest)

    def _read_again(self) -> Iterator[Finding]:
        """An order, and items, that are not the same every time make a run that cannot be repeated."""
        again = [digest_of(item) for item in self._reader.first_again("train", READ_TWICE)
                 if isinstance(item, Example) and fault(item) is None][: len(self._first_digests)]
        first = self._first_digests[: len(again)]
        if first != again or bool(first) != bool(self._first_digests):
            at = next(i for i, (a, b) in enumerate(zip_longest(self._first_digests, again)) if a != b)
            yield Finding("refuse", "not_repeatable", "train", f"usable item {at} differs when it is read again",
                          "yield the same items in the same order every time: sort files, and draw nothing at random")

    def _tell(self) -> None:
        self._read += 1
        if self._progress is not None and self._read % TOLD_EVERY == 0:
            self._progress(self._read, self._reader.total)


def _in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Worst first, and fit to print."""
    return sorted((finding.printable() for finding in findings), key=lambda finding: finding.severity != "refuse")
