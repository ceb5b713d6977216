"""Prepared examples as Arrow IPC files, memory-mapped and gathered without copying what is not asked for.

One file: `image` a fixed-shape tensor [C, H, W] uint8, `label` int64 (absent where the source has none); one record
batch, uncompressed, so that a column is one contiguous array on the memory map.  pandas, polars, DuckDB, Ray Data and
HF datasets open the same files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gan_core.data.source import SPLITS, Example, Source
from gan_core.errors import DamagedFile, DataError
from gan_core.manifest import File, Manifest, Parent, artefact, read_file, read_manifest, sha256_of
from gan_core.store import Store

IMAGE, LABEL = "image", "label"


@dataclass(frozen=True)
class Split:
    """One split on its memory maps.  images: [N, C, H, W] uint8 in parts.  labels: [N] int64, or None."""

    parts: tuple[NDArray[np.uint8], ...]
    labels: NDArray[np.int64] | None

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def starts(self) -> NDArray[np.int64]:
        """The index of each part's first example."""
        return np.cumsum([0, *(len(part) for part in self.parts[:-1])])

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images at `indices`, in that order: [n, C, H, W] uint8, one vectorised copy a part."""
        if len(self.parts) == 1:
            return self.parts[0][indices]
        part_of = np.searchsorted(self.starts, indices, side="right") - 1
        gathered = np.empty((len(indices), *self.parts[0].shape[1:]), np.uint8)
        for number in np.unique(part_of):
            here = part_of == number
            gathered[here] = self.parts[number][indices[here] - self.starts[number]]
        return gathered

    @property
    def images(self) -> NDArray[np.uint8]:
        """All images, [N, C, H, W] uint8; a view of the map when there is one part."""
        return self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)


@dataclass(frozen=True)
class Shards:
    """A prepared data set.  shape: (C, H, W).  classes: how many labels there are, 0 without labels."""

    splits: dict[str, Split]
    shape: tuple[int, int, int]
    classes: int

    def split(self, name: str) -> Split:
        if name not in self.splits or not len(self.splits[name]):
            raise DataError(f"the shards have no '{name}' split; they have {', '.join(self.splits)}")
        return self.splits[name]


def write_shards(
    source: Source, store: Store, prefix: str, *, shard_examples: int, key: str, parents: tuple[Parent, ...] = ()
) -> None:
    """Writes every split of a source as shards under `prefix`.  DataError names the first example that does not fit."""
    with artefact(store, prefix, kind="shards", key=key, parents=parents) as draft:
        splits: dict[str, Any] = {}
        schema: pa.Schema | None = None
        for split in SPLITS:
            histogram: dict[int, int] = {}
            examples = source.examples(split)
            count = files = 0
            while chunk := list(islice(examples, shard_examples)):
                table = _table(chunk, split, count, schema)
                schema = table.schema
                _write(table, draft.path / f"{split}-{files:05d}.arrow")
                for example in chunk:
                    if example.label is not None:
                        histogram[example.label] = histogram.get(example.label, 0) + 1
                count, files = count + len(chunk), files + 1
            splits[split] = {
                "examples": count,
                "files": files,
                "histogram": {str(label): histogram[label] for label in sorted(histogram)},
            }
        if schema is None or not splits["train"]["examples"]:
            raise DataError("the source yields no training example; check where it looks for its files")
        labels = [int(label) for facts in splits.values() for label in facts["histogram"]]
        draft.facts.update(
            splits=splits,
            shape=list(schema.field(IMAGE).type.shape),
            classes=max(labels) + 1 if labels else 0,
            schema=[f"{field.name}: {field.type}" for field in schema],
        )


def open_shards(store: Store, prefix: str) -> Shards:
    """A prepared data set, every file checked against its sha256 first.

    Raises DamagedFile, naming the file, when one is not what the manifest says; nothing trains on it.
    """
    manifest = read_manifest(store, prefix)
    if manifest is None:
        raise DataError(f"{store.uri(prefix)}: no prepared data set there; run the prepare stage first")
    root = _checked_copy(store, prefix, manifest)
    facts = manifest.facts
    splits = {
        split: _open_split([root / f.path for f in manifest.files if f.path.startswith(f"{split}-")])
        for split in facts["splits"]
        if facts["splits"][split]["examples"]
    }
    channels, height, width = facts["shape"]
    return Shards(splits, (channels, height, width), facts["classes"])


def _table(chunk: list[Example], split: str, first: int, schema: pa.Schema | None) -> pa.Table:
    images = [_channels_first(example.image, f"{split} example {first + i}") for i, example in enumerate(chunk)]
    shape = tuple(schema.field(IMAGE).type.shape) if schema else images[0].shape
    for i, image in enumerate(images):
        if image.shape != shape:
            raise DataError(f"{split} example {first + i} has the shape {image.shape} (C, H, W), the others {shape}; "
                            "bring all to one size in the source")
    stacked = np.ascontiguousarray(np.stack(images))  # in the order C, H, W, not as a view that permutes it
    columns = {IMAGE: pa.FixedShapeTensorArray.from_numpy_ndarray(stacked)}
    labels = [example.label for example in chunk]
    labelled = LABEL in schema.names if schema else labels[0] is not None
    for i, label in enumerate(labels):
        whole = isinstance(label, int | np.integer) and not isinstance(label, bool)
        if (label is not None) != labelled or (label is not None and not (whole and label >= 0)):
            raise DataError(f"{split} example {first + i} has the label {label!r}; "
                            "either every example has a whole number of 0 or more, or none has a label")
    if labelled:
        columns[LABEL] = pa.array(labels, pa.int64())
    return pa.table(columns)


def _channels_first(image: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise DataError(f"{name} is {image.dtype} with {image.ndim} axes; "
                        "a source yields uint8 images [H, W] or [H, W, C]")
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


def _write(table: pa.Table, path: Path) -> None:
    (batch,) = table.combine_chunks().to_batches()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_batch(batch)


def _checked_copy(store: Store, prefix: str, manifest: Manifest) -> Path:
    """Where the shards lie on this machine's disk, every byte checked: in place, or in the cache by digest."""
    if store.is_local:
        for file in manifest.files:
            read_file(store, prefix, file)
        return store.local_path(prefix)
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "gan-pipelines" / manifest.digest
    for file in manifest.files:
        if not _is_whole(cache / file.path, file):
            store.get(f"{prefix}/{file.path}", cache / file.path)
        if not _is_whole(cache / file.path, file):
            raise DamagedFile(f"{store.uri(prefix)}/{file.path}: is damaged: its sha256 is not its manifest's")
    return cache


def _is_whole(path: Path, file: File) -> bool:
    return path.exists() and path.stat().st_size == file.size and sha256_of(path) == file.sha256


def _open_split(files: list[Path]) -> Split:
    tables = [pa.ipc.open_file(pa.memory_map(str(file))).read_all() for file in files]
    images = tuple(chunk.to_numpy_ndarray() for table in tables for chunk in table[IMAGE].chunks)
    if LABEL not in tables[0].column_names:
        return Split(images, None)
    return Split(images, np.concatenate([table[LABEL].to_numpy() for table in tables]))


def iterate(split: Split, batch: int) -> Iterator[NDArray[np.uint8]]:
    """The images of a split in their stored order, [≤ batch, C, H, W] uint8 at a time."""
    for start in range(0, len(split), batch):
        yield split.gather(np.arange(start, min(start + batch, len(split))))
