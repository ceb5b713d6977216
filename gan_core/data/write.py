"""From a source to shards: part by part, so that any worker can write any shard, and a killed prepare goes on.

A part is a stretch of one split's items; it becomes one Arrow IPC file and, written after it, a note of what it holds.
The manifest comes last, from all notes.  Which worker wrote a part, and when, leaves no trace in its bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from gan_core.config import Experiment
from gan_core.data.attributes import Seen, seen_in
from gan_core.data.items import forget_indices
from gan_core.data.layout import Layout, layout_of, misfit, most_common, record_batch
from gan_core.data.normal import NORMAL, is_kept, normal_labels, refuse_without_training
from gan_core.data.parts import SHARD_BYTES, Part, Written, noted, put_note, put_set, put_shard
from gan_core.data.source import SPLITS, Bad, Example, Source, source_of
from gan_core.data.transforms import apply
from gan_core.errors import DataError, GanError, Outage, StoreError
from gan_core.manifest import MANIFEST, Parent
from gan_core.outages import transient
from gan_core.store import Store
from gan_core.transforms import Transform

PROBED = 32  # examples that decide together what all must look like
NAMED = 3  # unusable items, and reasons, that an error names


class Progress(Protocol):
    """Told after each part: items done, items in all (None where nobody knows yet), unusable ones so far."""

    def __call__(self, done: int, total: int | None, bad: int) -> None: ...


@dataclass(frozen=True)
class PartWriter:
    """Writes parts of one data set under one prefix.

    normal: the labels of the examples that train and validation keep; None for all.
    """

    source: Source
    transforms: tuple[Transform, ...]
    layout: Layout
    classes: int
    store: Store
    prefix: str
    normal: frozenset[int] | None = None

    def write(self, part: Part, items: Iterable[Example | Bad] | None = None) -> Written:
        """One part, shard first, note last; `items` where they are at hand.  StoreError when there is no room."""
        good: list[Example] = []
        bad: list[tuple[str, str]] = []
        count = 0
        for item in self._read(part) if items is None else items:
            where = item.where or f"{part.split} example {part.start + count}"
            count += 1
            usable = self._usable(item)
            if isinstance(usable, Example):
                if self.normal is None or is_kept(part.split, usable.label, self.normal):
                    good.append(usable)
            else:
                bad.append((where, usable))
        file = put_shard(self.store, self.prefix, part, record_batch(good, self.layout)) if good else None
        histogram = Counter(int(example.label) for example in good if example.label is not None)
        written = Written(part=part, items=count, file=file, examples=len(good), histogram=dict(histogram),
                          bad=tuple(bad), attributes=self._seen_in(good))
        put_note(self.store, self.prefix, written)
        return written

    def _read(self, part: Part) -> Iterator[Example | Bad]:
        """A part's items.  StoreError where reading breaks off, which says nothing of them; Outage of a network."""
        try:
            yield from self.source.part(part.split, part.start, part.stop)
        except GanError:
            raise
        except Exception as error:
            kind = Outage if transient(error) else StoreError
            raise kind(f"{part.split} items {part.start:,} to {part.stop:,}: reading broke off: "
                       f"{type(error).__name__}: {error}; the same command goes on with what is missing") from error

    def _usable(self, item: Example | Bad) -> Example | str:
        """The item as it is to be stored, or why it cannot be."""
        if isinstance(item, Bad):
            return item.reason
        try:
            example = apply(item, self.transforms)
        except DataError as error:
            return str(error)
        return misfit(example, self.layout, self.classes) or example

    def _seen_in(self, good: Sequence[Example]) -> dict[str, Seen]:
        return seen_in({name: [example.attributes[name] for example in good] for name in self.layout.attributes})


PlaceWork = Callable[[PartWriter, Sequence[Part]], Iterator[Written]]


def one_after_another(writer: PartWriter, parts: Sequence[Part]) -> Iterator[Written]:
    """Writes parts in this process."""
    return map(writer.write, parts)


def write_shards(
    source: Source,
    store: Store,
    prefix: str,
    *,
    shard_examples: int,
    key: str,
    transforms: tuple[Transform, ...] = (),
    max_bad_fraction: float = 0.0,
    normal: tuple[str, ...] = (),
    parents: tuple[Parent, ...] = (),
    place: PlaceWork = one_after_another,
    progress: Progress | None = None,
) -> None:
    """Writes every split of a source as shards under `prefix`, going on where a killed call left off.

    A finished set that stands there is made anew.  normal: as `prepare.normal`.  DataError names the first items that
    do not fit, where there are more of them than `max_bad_fraction` of all; StoreError when there is no room.
    """
    forget_indices()
    if store.exists(f"{prefix}/{MANIFEST}"):
        store.delete(f"{prefix}/{MANIFEST}")
        store.delete(prefix)
    layout = _layout_of(source, transforms)
    facts = dict(source.facts())
    kept = normal_labels(normal, facts.get("class_names", ()), layout.labelled) if normal else None
    if kept is not None:
        facts[NORMAL] = sorted(kept)
    writer = PartWriter(source, transforms, layout, len(facts.get("class_names", ())), store, prefix, kept)
    size = min(shard_examples, max(1, SHARD_BYTES // max(1, layout.example_bytes)))
    found = _Found(max_bad_fraction, dict(source.splits()), progress)
    for written in _all_parts(writer, size, found.known, place):
        found.add(written)
    found.refuse_if_too_many()
    if kept is not None:
        refuse_without_training(normal, sum(part.examples for part in found.parts() if part.part.split == "train"))
    put_set(store, prefix, found.parts(), layout, classes=writer.classes, facts=facts, key=key, parents=parents)


def write_experiment(
    experiment: Experiment,
    store: Store,
    prefix: str,
    *,
    key: str,
    place: PlaceWork = one_after_another,
    progress: Progress | None = None,
) -> None:
    """The same with all that an experiment says of its data."""
    write_shards(
        source_of(experiment),
        store,
        prefix,
        shard_examples=experiment.prepare.shard_examples,
        key=key,
        transforms=experiment.prepare.transforms,
        max_bad_fraction=experiment.prepare.max_bad_fraction,
        normal=experiment.prepare.normal,
        place=place,
        progress=progress,
    )


class _Found:
    """What the parts have held so far."""

    def __init__(self, allowed: float, known: Mapping[str, int], progress: Progress | None) -> None:
        self.known = known
        self._written: list[Written] = []
        self._allowed, self._progress = allowed, progress
        self._items = self._bad = 0

    def add(self, written: Written) -> None:
        self._written.append(written)
        self._items += written.items
        self._bad += len(written.bad)
        total = sum(self.known.values()) or None
        if self._progress is not None:
            self._progress(self._items, total, self._bad)
        if total is not None and self._bad > self._allowed * total:
            self.refuse_if_too_many(total)

    def refuse_if_too_many(self, total: int | None = None) -> None:
        if self._bad <= self._allowed * (total or self._items):
            return
        listed = _grouped([item for written in self.parts() for item in written.bad])
        raise DataError(f"{self._bad:,} of {total or self._items:,} items cannot be used, such as {listed} — mend "
                        "them, `gan dataset check` lists all, or leave them out: "
                        f"prepare.max_bad_fraction={_enough(self._bad / (total or self._items))}")

    def parts(self) -> list[Written]:
        return sorted(self._written, key=lambda written: (SPLITS.index(written.part.split), written.part.number))


def _grouped(bad: Sequence[tuple[str, str]]) -> str:
    """The first few items of the first few reasons."""
    reasons: dict[str, list[str]] = {}
    for where, reason in bad:
        reasons.setdefault(reason, []).append(where)
    return "; ".join(f"{', '.join(items[:NAMED])}: {reason}" for reason, items in list(reasons.items())[:NAMED])


def _enough(fraction: float) -> float:
    """A round number above the fraction."""
    return next((step for step in (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if step > fraction), 0.99)


def _all_parts(writer: PartWriter, size: int, known: Mapping[str, int], place: PlaceWork) -> Iterator[Written]:
    if not known:
        yield from _one_stream(writer, size)
        return
    parts = [
        Part(split=split, number=number, start=start, stop=min(start + size, known.get(split, 0)))
        for split in SPLITS
        for number, start in enumerate(range(0, known.get(split, 0), size))
    ]
    waiting = []
    for part in parts:
        done = noted(writer.store, writer.prefix, part)
        if done is not None:
            yield done
        else:
            waiting.append(part)
    if waiting:
        yield from place(writer, waiting)


def _one_stream(writer: PartWriter, size: int) -> Iterator[Written]:
    """A source that can only be read from its start: parts that are done are read past, not written again."""
    for split in SPLITS:
        items = iter(writer.source.examples(split))
        number = start = 0
        while chunk := list(islice(items, size)):
            part = Part(split=split, number=number, start=start, stop=start + len(chunk))
            yield noted(writer.store, writer.prefix, part) or writer.write(part, chunk)
            number, start = number + 1, start + len(chunk)


def _layout_of(source: Source, transforms: tuple[Transform, ...]) -> Layout:
    """What most of the first training examples look like.  DataError when there is none, with the reasons."""
    seen: list[Layout] = []
    reasons: list[str] = []
    items = source.part("train", 0, PROBED) if source.splits() else islice(source.examples("train"), PROBED)
    for number, item in enumerate(items):
        where = item.where or f"train example {number}"
        try:
            if isinstance(item, Bad):
                raise DataError(item.reason)
            seen.append(layout_of(apply(item, transforms)))
        except DataError as error:
            reasons.append(f"{where}: {error}")
    if not seen:
        what = "; ".join(reasons[:NAMED]) or "it is empty; check where the source looks for its files"
        raise DataError(f"the source yields no training example that can be used: {what}")
    return most_common(seen)
