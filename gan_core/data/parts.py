"""Sets that are written part by part, by any worker: a shard each, then a note of what it holds; the manifest is last.

A killed call leaves whole shards and their notes behind, and the next one goes on with what has no note.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from gan_core.config import Config
from gan_core.data.attributes import Seen, joined
from gan_core.data.layout import TYPES, Layout
from gan_core.data.source import SPLITS
from gan_core.errors import DataError
from gan_core.manifest import NOTES, File, Parent, put_manifest
from gan_core.store import Store

SHARD_BYTES = 64 * 2**20
QUARANTINE = "quarantine.jsonl"


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
    """What became of a part.

    file: None where no item was usable.  bad: [where, reason] of the others.  attributes: what each one's column holds.
    """

    part: Part
    items: int
    file: File | None
    examples: int
    histogram: dict[int, int]
    bad: tuple[tuple[str, str], ...]
    attributes: dict[str, Seen]


def put_shard(store: Store, prefix: str, part: Part, batch: pa.RecordBatch) -> File:
    """Writes one shard, whole or not at all.  StoreError when there is no room."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    data = sink.getvalue()
    file = File(path=f"{part.name}.arrow", size=data.size, sha256=hashlib.sha256(data).hexdigest())
    store.write(f"{prefix}/{file.path}", data)
    return file


def put_note(store: Store, prefix: str, written: Written) -> None:
    """Says that a part is done; its shard is there already."""
    store.write(_note(prefix, written.part), written.model_dump_json().encode())


def noted(store: Store, prefix: str, part: Part) -> Written | None:
    """What an earlier call wrote of a part, where it is all there."""
    try:
        written = Written.model_validate_json(store.read(_note(prefix, part)))
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    if written.part != part:
        return None
    if written.file is not None:
        sizes = store.sizes(f"{prefix}/{written.file.path}")
        if list(sizes.values()) != [written.file.size]:
            return None
    return written


def put_set(
    store: Store,
    prefix: str,
    parts: Sequence[Written],
    layout: Layout,
    *,
    classes: int,
    facts: dict[str, Any],
    key: str,
    parents: tuple[Parent, ...],
) -> None:
    """Makes a finished set of parts in their order, all written under `prefix`.

    classes: labels there are at least.  DataError when there is no training example among them.
    """
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
        "classes": max(max(labels) + 1, classes) if labels else 0,
        "quarantined": len(bad),
    }
    put_manifest(store, prefix, kind="shards", key=key, files=tuple(files), parents=parents, facts=facts)
    store.delete(f"{prefix}/{NOTES}")


def _note(prefix: str, part: Part) -> str:
    return f"{prefix}/{NOTES}/{part.name}.json"


def _split_facts(parts: Sequence[Written]) -> dict[str, Any]:
    histogram: Counter[int] = sum((Counter(written.histogram) for written in parts), Counter())
    counts = [written.examples for written in parts if written.file is not None]
    attributes = joined([written.attributes for written in parts])
    return {
        "examples": sum(counts),
        "files": len(counts),
        "counts": counts,
        "histogram": {str(label): histogram[label] for label in sorted(histogram)},
        **({"attributes": {name: seen.model_dump() for name, seen in attributes.items()}} if attributes else {}),
    }
