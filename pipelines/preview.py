"""A picture of a prepared set: a few training examples of each class, spread over all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from gan_core.data.checks.report import Report, SplitFacts
from gan_core.data.contact import contact_sheet
from gan_core.data.shards import RemoteSplit, Shards, Split
from gan_core.data.source import Example

OF_EACH, CLASSES, UNLABELLED = 10, 20, 64  # examples of a class, classes, examples where there are no classes
MOST_FILES = 8  # of a set that is larger than the cache


def preview(shards: Shards) -> Image:
    """The contact sheet of a set as it is stored."""
    found = shards.facts["splits"]["train"]
    histogram = {int(label): count for label, count in found["histogram"].items()}
    train = SplitFacts(found["examples"], found["examples"], 0, histogram, {}, {}, 0, np.zeros(256, np.int64))
    return contact_sheet(Report((), {"train": train}, shards.facts, (), samples(shards)))


def samples(shards: Shards) -> dict[int | None, list[Example]]:
    """A few training examples by label, None where there are none; the lowest labels where there are many."""
    split = shards.split("train")
    if isinstance(split, RemoteSplit):
        files = _spread(np.arange(len(split.counts)), MOST_FILES)
        split = split.open(files.tolist())
    if split.labels is None:
        return {None: _examples(split, _spread(np.arange(len(split)), UNLABELLED), None)}
    return {
        int(label): _examples(split, _spread(np.flatnonzero(split.labels == label), OF_EACH), int(label))
        for label in np.unique(split.labels)[:CLASSES]
    }


def _spread(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most `count` of the indices, evenly from the first to the last."""
    return indices[np.unique(np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(np.int64))]


def _examples(split: Split, indices: NDArray[np.int64], label: int | None) -> list[Example]:
    columns, starts = split.columns, split.starts
    return [_example(columns, int(number), int(index - starts[number]), label)
            for index, number in zip(indices, np.searchsorted(starts, indices, side="right") - 1, strict=True)]


def _example(columns: Mapping[str, Sequence[NDArray[Any]]], number: int, row: int, label: int | None) -> Example:
    tensors: dict[str, Any] = {name: _as_yielded(name, parts[number][row]) for name, parts in columns.items()}
    return Example(label=label, **tensors)


def _as_yielded(name: str, stored: NDArray[Any]) -> NDArray[Any]:
    """[C, H, W] as [H, W, C], or [H, W] where C is 1; video frame by frame; others as they are."""
    if name not in ("image", "image_b", "video"):
        return stored
    last = np.moveaxis(stored, -3, -1)
    return last[..., 0] if last.shape[-1] == 1 else last
