"""What a report says of the data set: what its shards' manifest says, in words and bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from pipelines.parts import DataSet
from pipelines.report_classes import class_name

BARS = 20  # classes that are shown


def data_set(facts: Mapping[str, Any], options: Mapping[str, Any], digest: str) -> DataSet:
    """facts: of the shards.  options: the experiment's `data` block.  digest: of the shards."""
    train = facts["splits"]["train"]
    names = facts.get("class_names", ())
    return DataSet(
        source=str(options["source"]),
        options=yaml.safe_dump({"data": dict(options)}, sort_keys=False, allow_unicode=True),
        splits={name: split["examples"] for name, split in facts["splits"].items() if split["examples"]},
        shape=tuple(facts["shape"]),
        classes={class_name(names, int(label)): count for label, count in train["histogram"].items()},
        attributes={name: _values(seen) for name, seen in train.get("attributes", {}).items()},
        quarantined=facts.get("quarantined", 0),
        digest=digest,
    )


def bars(data: DataSet) -> list[tuple[str, int, float]]:
    """(class, training examples, percent of the largest class shown) of the first classes."""
    first = list(data.classes.items())[:BARS]
    longest = max((count for _, count in first), default=0) or 1
    return [(name, count, 100 * count / longest) for name, count in first]


def shape_words(shape: tuple[int, ...]) -> str:
    """'8 x 8, 1 channel' of [C, H, W]; any other shape as its numbers."""
    if len(shape) != 3:
        return " x ".join(map(str, shape))
    channels, height, width = shape
    return f"{height} x {width}, {channels} channel{'s' if channels > 1 else ''}"


def _values(seen: Mapping[str, Any]) -> str:
    """The range of a column of numbers, as in `gan_core.data.attributes.Seen`."""
    extent = "no number" if seen["low"] is None else f"{seen['low']:g} … {seen['high']:g}"
    return f"{extent}, {seen['missing']:,} missing" if seen["missing"] else extent
