"""From a source to shards: part by part, so that any worker can write any shard, and a killed prepare goes on.

A part is a stretch of one split's items; it becomes one Arrow IPC file and, written after it, a note of what it holds.
The manifest comes last, from all notes.  Which worker wrote a part, and when, leaves no trace in its bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError

from gan_core.config import Config
from gan_core.data.items import indexed
from gan_core.data.source import SPLITS, TENSORS, Bad, Example, Source
from gan_core.data.transforms import apply
from gan_core.errors import DataError
from gan_core.manifest import MANIFEST, File, Parent, put_manifest
from gan_core.store import Store
from gan_core.transforms import Transform

SHARD_BYTES = 64 * 2**20
PROBED = 32  # examples that decide together what all must look like
QUARANTINE = "quarantine.jsonl"
NAMED = 3  # unusable items that an error names
AXES = {"image": "H, W, C", "image_b": "H, W, C", "audio": "channels, T", "tokens": "T", "video": "T, H, W, C"}
TYPES: Mapping[str, Any] = {"image": np.uint8, "image_b": np.uint8, "audio": np.int16, "tokens": np.int32,
                            "video": np.uint8}


class Layout(Config):
    """What every example of a set has.  tensors: stored shape by column, channels first."""

    tensors: dict[str, tuple[int, ...]]
    labelled: bool
    weighted: bool
    attributes: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The column that holds the data proper."""
        return next(name for name in TENSORS if name in self.tensors)

    @property
    def example_bytes(self) -> int:
        return sum(int(np.prod(shape)) * np.dtype(TYPES[name]).itemsize for name, shape in self.tensors.items())


class Part(Config):
    """Items start … stop − 1 of a split: one shard."""

    split: str
    number: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:05d}"


class Written(Config):
    """What became of a part.  file: None where no item was usable.  bad: [where, reason] of the others."""

    part: Part
    items: int
    file: File | None
    examples: int
    histogram: dict[int, int]
    bad: tuple[tuple[str, str], ...]


class Progress(Protocol):
    """Told after each part: items done, items in all (None where nobody knows yet), unusable ones so far."""

    def __call__(self, done: int, total: int | None, bad: int) -> None: ...


@dataclass(frozen=True)
class PartWriter:
    """Writes parts of one data set under one prefix."""

    source: Source
    transforms: tuple[Transform, ...]
    layout: Layout
    classes: int
    store: Store
    prefix: str

    def write(self, part: Part, items: Iterable[Example | Bad] | None = None) -> Written:
        """One part, shard first, note last; `items` where they are at hand.  StoreError when there is no room."""
        good: list[Example] = []
        bad: list[tuple[str, str]] = []
        count = 0
        for item in self.source.part(part.split, part.start, part.stop) if items is None else items:
            where = item.where or f"{part.split} example {part.start + count}"
            count += 1
            usable = self._usable(item)
            if isinstance(usable, Example):
                good.append(usable)
            else:
                bad.append((where, usable))
        file = self._put(good, part) if good else None
        histogram = Counter(int(example.label) for example in good if example.label is not None)
        written = Written(part=part, items=count, file=file, examples=len(good), histogram=dict(histogram),
                          bad=tuple(bad))
        self.store.write(_note(self.prefix, part.name), written.model_dump_json().encode())
        return written

    def _usable(self, item: Example | Bad) -> Example | str:
        """The item as it is to be stored, or why it cannot be."""
        if isinstance(item, Bad):
            return item.reason
        try:
            example = apply(item, self.transforms)
        except DataError as error:
            return str(error)
        return _misfit(example, self.layout, self.classes) or example

    def _put(self, good: Sequence[Example], part: Part) -> File:
        sink = pa.BufferOutputStream()
        batch = _batch(good, self.layout)
        with pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        data = sink.getvalue()
        file = File(path=f"{part.name}.arrow", size=data.size, sha256=hashlib.sha256(data).hexdigest())
        self.store.write(f"{self.prefix}/{file.path}", data)
        return file


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
    parents: tuple[Parent, ...] = (),
    place: PlaceWork = one_after_another,
    progress: Progress | None = None,
) -> None:
    """Writes every split of a source as shards under `prefix`, going on where a killed call left off.

    A finished set that stands there is made anew.  DataError names the first items that do not fit, where there are
    more of them than `max_bad_fraction` of all; StoreError when there is no room.
    """
    indexed.cache_clear()  # files may have changed since this process last looked
    if store.exists(f"{prefix}/{MANIFEST}"):
        store.delete(f"{prefix}/{MANIFEST}")
        store.delete(prefix)
    layout = _layout_of(source, transforms)
    facts = dict(source.facts())
    writer = PartWriter(source, transforms, layout, len(facts.get("class_names", ())), store, prefix)
    size = min(shard_examples, max(1, SHARD_BYTES // max(1, layout.example_bytes)))
    found = _Found(max_bad_fraction, dict(source.splits()), progress)
    for written in _all_parts(writer, size, found.known, place):
        found.add(written)
    found.refuse_if_too_many()
    _finish(writer, found.parts(), facts, key, parents)


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
        named = [item for written in self.parts() for item in written.bad][:NAMED]
        listed = "; ".join(f"{where}: {reason}" for where, reason in named)
        raise DataError(f"{self._bad:,} of {total or self._items:,} items cannot be used, such as {listed}"
                        f" — mend them, `gan dataset check` lists all, or leave them out: "
                        f"prepare.max_bad_fraction={_enough(self._bad / (total or self._items))}")

    def parts(self) -> list[Written]:
        return sorted(self._written, key=lambda written: (SPLITS.index(written.part.split), written.part.number))


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
        done = _done(writer, part)
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
            yield _done(writer, part) or writer.write(part, chunk)
            number, start = number + 1, start + len(chunk)


def _done(writer: PartWriter, part: Part) -> Written | None:
    """What an earlier call wrote of a part, where it is all there."""
    try:
        written = Written.model_validate_json(writer.store.read(_note(writer.prefix, part.name)))
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    if written.part != part:
        return None
    if written.file is not None:
        sizes = writer.store.sizes(f"{writer.prefix}/{written.file.path}")
        if list(sizes.values()) != [written.file.size]:
            return None
    return written


def _finish(
    writer: PartWriter, parts: Sequence[Written], facts: dict[str, Any], key: str, parents: tuple[Parent, ...]
) -> None:
    store, prefix, layout = writer.store, writer.prefix, writer.layout
    files = [written.file for written in parts if written.file is not None]
    bad = [(written.part.split, *item) for written in parts for item in written.bad]
    if bad:
        lines = [json.dumps({"split": split, "where": where, "reason": reason}) for split, where, reason in bad]
        listed = ("\n".join(lines) + "\n").encode()
        store.write(f"{prefix}/{QUARANTINE}", listed)
        files.append(File(path=QUARANTINE, size=len(listed), sha256=hashlib.sha256(listed).hexdigest()))
    splits = {split: _split_facts([w for w in parts if w.part.split == split]) for split in SPLITS}
    if not splits["train"]["examples"]:
        raise DataError("the source yields no training example that can be used; check where it looks for its files")
    labels = [int(label) for split in splits.values() for label in split["histogram"]]
    facts = {
        **facts,
        "splits": splits,
        "kind": layout.kind,
        "shape": list(layout.tensors[layout.kind]),
        "columns": {name: {"shape": list(shape), "dtype": np.dtype(TYPES[name]).name}
                    for name, shape in layout.tensors.items()},
        "classes": max(max(labels) + 1, writer.classes) if labels else 0,
        "quarantined": len(bad),
    }
    put_manifest(store, prefix, kind="shards", key=key, files=tuple(files), parents=parents, facts=facts)
    store.delete(f"{prefix}/{_NOTES}")


_NOTES = ".parts"


def _note(prefix: str, name: str) -> str:
    return f"{prefix}/{_NOTES}/{name}.json"


def _split_facts(parts: Sequence[Written]) -> dict[str, Any]:
    histogram: Counter[int] = sum((Counter(written.histogram) for written in parts), Counter())
    counts = [written.examples for written in parts if written.file is not None]
    return {
        "examples": sum(counts),
        "files": len(counts),
        "counts": counts,
        "histogram": {str(label): histogram[label] for label in sorted(histogram)},
    }


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
    return _most_common(seen)


def _most_common(layouts: Sequence[Layout]) -> Layout:
    (text, _), = Counter(layout.model_dump_json() for layout in layouts).most_common(1)
    return Layout.model_validate_json(text)


def layout_of(example: Example) -> Layout:
    """What an example has.  DataError for arrays that are not what `Example` promises."""
    tensors = _stored_shapes(example)
    if not tensors:
        raise DataError(f"holds none of {', '.join(TENSORS)}")
    return Layout(
        tensors=tensors,
        labelled=example.label is not None,
        weighted=example.weight is not None,
        attributes=tuple(sorted(example.attributes)),
    )


def _stored_shapes(example: Example) -> dict[str, tuple[int, ...]]:
    return {name: channels_first(name, value).shape for name, value in example.tensors().items()}


def channels_first(name: str, value: NDArray[Any]) -> NDArray[Any]:
    """A tensor as it is stored: [C, H, W], [channels, T], [T] or [T, C, H, W].  DataError when it is something else."""
    axes = AXES[name].split(", ")
    optional = 0 if name == "tokens" else 1
    if not isinstance(value, np.ndarray) or value.dtype != TYPES[name] or value.ndim not in {len(axes) - optional,
                                                                                               len(axes)}:
        found = f"{value.dtype} with {value.ndim} axes" if isinstance(value, np.ndarray) else type(value).__name__
        raise DataError(f"its {name} is {found}; a source yields {np.dtype(TYPES[name]).name} [{AXES[name]}]")
    if 0 in value.shape:
        raise DataError(f"its {name} is empty: shape {list(value.shape)}")
    whole = value.ndim == len(axes)
    match name:
        case "image" | "image_b":
            return value.transpose(2, 0, 1) if whole else value[None]
        case "video":
            return value.transpose(0, 3, 1, 2) if whole else value[:, None]
        case "audio":
            return value if whole else value[None]
    return value


def _misfit(example: Example, layout: Layout, classes: int) -> str:
    """Why an example cannot stand among the others; '' when it can."""
    try:
        shapes = _stored_shapes(example)
    except DataError as error:
        return str(error)
    if shapes != layout.tensors:
        return (f"is {_listed(shapes)} and most others {_listed(layout.tensors)}; bring all to one size and mode with "
                "prepare.transforms, such as [{mode: rgb}, {resize: 32}]")
    label = example.label
    if (label is not None) != layout.labelled:
        return "has no label, and the others have one" if layout.labelled else "has a label, and the others have none"
    if label is not None and (not isinstance(label, int | np.integer) or isinstance(label, bool) or label < 0):
        return f"has the label {label!r}; labels are whole numbers of 0 or more"
    if classes and label is not None and label >= classes:
        return f"has the label {label}, and there are {classes} classes: 0 … {classes - 1}"
    if (example.weight is not None) != layout.weighted or {*example.attributes} != {*layout.attributes}:
        return f"has the attributes {sorted(example.attributes)}, the others {list(layout.attributes)}"
    if example.weight is not None and not (np.isfinite(example.weight) and example.weight >= 0):
        return f"has the weight {example.weight}; weights are numbers of 0 or more"
    return ""


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items()) or "nothing"


def _batch(good: Sequence[Example], layout: Layout) -> pa.RecordBatch:
    columns: dict[str, pa.Array] = {}
    for name in layout.tensors:
        stacked = np.stack([channels_first(name, example.tensors()[name]) for example in good])
        columns[name] = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(stacked))
    if layout.labelled:
        columns["label"] = pa.array([int(e.label) for e in good if e.label is not None], pa.int64())
    if layout.weighted:
        columns["weight"] = pa.array([e.weight for e in good], pa.float64())
    if layout.attributes:
        fields = [pa.array([float(e.attributes[name]) for e in good], pa.float64()) for name in layout.attributes]
        columns["attributes"] = pa.StructArray.from_arrays(fields, names=list(layout.attributes))
    return pa.RecordBatch.from_pydict(columns)
