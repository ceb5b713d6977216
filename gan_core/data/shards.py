"""Prepared examples as Arrow IPC files, memory-mapped and gathered without copying what is not asked for.

One file: `image`, `image_b` and `video` uint8, `audio` int16, `tokens` int32, each a fixed-shape tensor, channels
first; `label` int64, `weight` float64 and `attributes`, a struct of float64, where the source has them; one record
batch, uncompressed, so that a column is one contiguous array on the memory map.  pandas, polars, DuckDB, Ray Data and
HF datasets open the same files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gan_core.data.attributes import Seen
from gan_core.data.cache import Cache, in_parallel, is_whole, total
from gan_core.data.source import TENSORS
from gan_core.errors import DamagedFile, DataError
from gan_core.manifest import File, Manifest, missing_files, read_file, read_manifest
from gan_core.modalities.form import Form
from gan_core.store import Store

IMAGE, IMAGE_B, LABEL, WEIGHT, ATTRIBUTES = "image", "image_b", "label", "weight", "attributes"
MOST_OPEN = 4  # files of a set that is larger than the cache, open at the same time


class Split:
    """One split on its memory maps: each part is one file.

    parts: the primary column, [n, C, H, W] uint8 for images.  labels: [N] int64, or None.  others: further tensor
    columns, in the same parts.  numbers: [N] float64 by name, `weight` and the attributes.  attribute_names: which of
    these are attributes, in the order of their columns.
    """

    def __init__(
        self,
        parts: Sequence[NDArray[Any]],
        labels: NDArray[np.int64] | None,
        *,
        kind: str = IMAGE,
        others: Mapping[str, Sequence[NDArray[Any]]] | None = None,
        numbers: Mapping[str, NDArray[np.float64]] | None = None,
        attribute_names: Sequence[str] = (),
    ) -> None:
        self.kind = kind
        self.attribute_names = tuple(attribute_names)
        self.counts = tuple(len(part) for part in parts)  # the examples of each part
        self._columns: dict[str, Sequence[NDArray[Any]]] = {kind: parts, **(others or {})}
        self._labels = labels
        self.numbers = dict(numbers or {})

    def __len__(self) -> int:
        return sum(self.counts)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The index of each part's first example."""
        return np.cumsum([0, *self.counts[:-1]])

    @property
    def parts(self) -> Sequence[NDArray[Any]]:
        """The primary column, file by file."""
        return self.columns[self.kind]

    @property
    def columns(self) -> Mapping[str, Sequence[NDArray[Any]]]:
        """Every tensor column, file by file, the primary one first."""
        return self._columns

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """[N], or None where the set has none."""
        return self._labels

    @property
    def attributes(self) -> NDArray[np.float32] | None:
        """[N, A], a column for each of `attribute_names`; None where the set has none."""
        if not self.attribute_names:
            return None
        return np.stack([self.numbers[name] for name in self.attribute_names], axis=1, dtype=np.float32,
                        casting="same_kind")

    @property
    def seen(self) -> Mapping[str, Seen]:
        """What the column of each attribute holds, in the order of `attribute_names`."""
        return {name: Seen.of(self.numbers[name]) for name in self.attribute_names}

    def gather(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """The primary column at `indices`, in that order: [n, C, H, W] uint8 for images; one copy a part."""
        if len(self.counts) == 1:
            return np.take(self.parts[0], indices, axis=0)
        part_of = np.searchsorted(self.starts, indices, side="right") - 1
        present = np.unique(part_of).tolist() or [0]
        like = self._part(present[0])
        gathered = np.empty((len(indices), *like.shape[1:]), like.dtype)
        for number in present:
            here = part_of == number
            gathered[here] = np.take(self._part(number), indices[here] - self.starts[number], axis=0)
        return gathered

    @property
    def images(self) -> NDArray[Any]:
        """All of the primary column, [N, C, H, W] uint8 for images; a view of the map when there is one part."""
        parts = self.parts
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _part(self, number: int) -> NDArray[Any]:
        return self.parts[number]


class RemoteSplit(Split):
    """A split of a set that is larger than the cache: its files are fetched when they are asked for.

    `open` is for whoever goes through it group by group.  What a Split offers works too, a file at a time: `labels`,
    `attributes`, `images` and a gather all over the split fetch every file.  It has no `numbers`.
    """

    def __init__(self, cache: Cache, manifest: Manifest, split: str, files: Sequence[File]) -> None:
        super().__init__((), None, kind=manifest.facts["kind"])
        self.uri, self.bound, self.set_bytes = cache.uri, cache.bound, total(manifest.files)
        self.counts = tuple(manifest.facts["splits"][split]["counts"])
        self._cache, self._files = cache, tuple(files)
        self._labelled = bool(manifest.facts["splits"][split]["histogram"])
        self._seen = {name: Seen.model_validate(column)
                      for name, column in manifest.facts["splits"][split].get("attributes", {}).items()}
        self.attribute_names = tuple(self._seen)
        self._opened = lru_cache(maxsize=MOST_OPEN)(self._open_one)

    @property
    def columns(self) -> Mapping[str, Sequence[NDArray[Any]]]:
        files = [self._opened(number).columns for number in range(len(self._files))]
        return {name: [part for columns in files for part in columns[name]] for name in files[0]}

    @cached_property
    def labels(self) -> NDArray[np.int64] | None:
        if not self._labelled:
            return None
        return np.concatenate([np.asarray(self._opened(number).labels) for number in range(len(self._files))])

    @property
    def attributes(self) -> NDArray[np.float32] | None:
        if not self.attribute_names:
            return None
        return np.concatenate([np.asarray(self._opened(number).attributes) for number in range(len(self._files))])

    @property
    def seen(self) -> Mapping[str, Seen]:
        return self._seen

    @property
    def largest_group(self) -> int:
        """The most files that may be shuffled together: two such groups are on the disk at the same time.  May be 0."""
        return int(np.searchsorted(self._largest_first, self.bound, side="right")) // 2

    def room_for(self, group: int) -> int:
        """The most bytes that two groups of so many files take."""
        return int(self._largest_first[: 2 * group][-1])

    def open(self, numbers: Sequence[int]) -> Split:
        """These files as a split of their own; they stay in the cache as long as it is used."""
        return _fetched(self._cache, {"": [self._files[number] for number in numbers]}, self.kind)[""]

    @property
    def _largest_first(self) -> NDArray[np.int64]:
        """The bytes of the largest file, of the two largest, and so on."""
        return np.cumsum(sorted((file.size for file in self._files), reverse=True))

    def _part(self, number: int) -> NDArray[Any]:
        return self._opened(number).parts[0]

    def _open_one(self, number: int) -> Split:
        """One file, whose copy may go at once: what is mapped stays readable."""
        files = [self._files[number]]
        tables = self._cache.opened(files, _open_file)
        self._cache.let_go(files)
        return _joined(tables, self.kind)


@dataclass(frozen=True, eq=False)
class Shards:
    """A prepared data set.

    shape: of one example's primary column, (C, H, W) for images.  classes: how many labels there are, 0 without
    labels.  kind: the primary column.  facts: all that its manifest says of it.
    """

    splits: dict[str, Split]
    shape: tuple[Any, ...]
    classes: int
    kind: str = IMAGE
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def form(self) -> Form:
        """What one example is."""
        return Form.of(self.kind, self.shape, self.facts)

    def split(self, name: str) -> Split:
        if name not in self.splits or not len(self.splits[name]):
            raise DataError(f"the shards have no '{name}' split; they have {', '.join(self.splits)}")
        return self.splits[name]


def open_shards(store: Store, prefix: str) -> Shards:
    """A prepared data set, every file checked against its sha256 first; of a remote store, in the local cache.

    Only of a remote set that is larger than the cache are files fetched, and checked, when they are read.  Raises
    DamagedFile, naming the file, when one is not what the manifest says; nothing trains on it.
    """
    manifest = read_manifest(store, prefix)
    if manifest is None:
        raise DataError(f"{store.uri(prefix)}: no prepared data set there; run the prepare stage first")
    facts = manifest.facts
    kind = facts["kind"]
    uri = store.uri(prefix)
    files = {split: _shards_of(manifest, split, uri) for split in facts["splits"] if facts["splits"][split]["examples"]}
    cache = None if store.is_local else Cache(store, prefix, manifest)
    splits: dict[str, Split]
    if cache is None:
        splits = _in_place(store, prefix, files, kind)
    elif total(manifest.files) <= cache.bound:
        splits = _fetched(cache, files, kind)
    else:
        if missing := missing_files(store, prefix, manifest):
            raise DamagedFile(f"{uri}/{missing[0]}: is missing or has another size than its manifest says")
        splits = {split: RemoteSplit(cache, manifest, split, listed) for split, listed in files.items()}
    return Shards(splits, tuple(facts["shape"]), facts["classes"], kind, facts)


def _shards_of(manifest: Manifest, split: str, uri: str) -> list[File]:
    """The files of a split in their order.  DamagedFile when there are not as many as the manifest counts."""
    ours = re.compile(re.escape(split) + r"-\d{5,}\.arrow")  # a name with a folder in it could lead anywhere
    files = sorted((f for f in manifest.files if ours.fullmatch(f.path)), key=lambda f: (len(f.path), f.path))
    counted = len(manifest.facts["splits"][split]["counts"])
    if len(files) != counted:
        raise DamagedFile(f"{uri}: its manifest counts {counted} files of '{split}' and lists {len(files)} that can be "
                          "shards; prepare the set again")
    return files


def _in_place(store: Store, prefix: str, files: Mapping[str, Sequence[File]], kind: str) -> dict[str, Split]:
    root = store.local_path(prefix)

    def check(file: File) -> None:
        if not is_whole(root / file.path, file):
            read_file(store, prefix, file)  # says what is wrong with it

    in_parallel(check, [file for listed in files.values() for file in listed])
    return {split: _joined([_open_file(root / file.path) for file in listed], kind)
            for split, listed in files.items()}


def _fetched(cache: Cache, files: Mapping[str, Sequence[File]], kind: str) -> dict[str, Split]:
    """Splits of which the copies stay in the cache as long as they are used."""
    tables = iter(cache.opened([file for listed in files.values() for file in listed], _open_file))
    splits = {}
    for name, listed in files.items():
        splits[name] = _joined([next(tables) for _ in listed], kind)
        cache.stay_while(splits[name], listed)
    return splits


def _open_file(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as mapped:  # the map outlives the file handle, of which there may be too many
        return pa.ipc.open_file(mapped).read_all()


def _joined(tables: Sequence[pa.Table], kind: str) -> Split:
    """Files as one split; tensors stay on their maps, the few bytes of everything else are copied."""
    names = tables[0].column_names
    tensors = {name: [chunk.to_numpy_ndarray() for table in tables for chunk in table[name].chunks]
               for name in TENSORS if name in names}
    numbers = {}
    attributes = [field.name for field in tables[0].schema.field(ATTRIBUTES).type] if ATTRIBUTES in names else []
    for position, name in enumerate(attributes):
        numbers[name] = np.concatenate(
            [chunk.field(position).to_numpy() for table in tables for chunk in table[ATTRIBUTES].chunks])
    if WEIGHT in names:
        numbers[WEIGHT] = np.concatenate([table[WEIGHT].to_numpy() for table in tables])
    labels = np.concatenate([table[LABEL].to_numpy() for table in tables]) if LABEL in names else None
    parts = tuple(tensors.pop(kind))
    return Split(parts, labels, kind=kind, others=tensors, numbers=numbers, attribute_names=attributes)


def iterate(split: Split, batch: int) -> Iterator[NDArray[Any]]:
    """The primary column of a split in its stored order, [≤ batch, C, H, W] uint8 at a time for images."""
    for start in range(0, len(split), batch):
        yield split.gather(np.arange(start, min(start + batch, len(split))))
