"""Which examples are normal: the classes that `prepare.normal` names, by name or label.

Train and validation hold normal examples alone, so that nothing learns what is abnormal; test holds all of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gan_core.data.shards import Shards, Split
from gan_core.errors import ConfigError, DataError

FIELD = "prepare.normal"
NORMAL = "normal"  # of a prepared set's facts: the labels
MOST_NAMED = 20  # of the classes that a message lists
HELD_OUT = "test"


def normal_labels(normal: Sequence[str], class_names: Sequence[str], labelled: bool = True) -> frozenset[int]:
    """The labels of these classes.  ConfigError for a class that the set has not, and for a set without labels."""
    if not labelled:
        raise ConfigError(f"{FIELD}={json.dumps([*normal])} needs labels, which this set has not; {FIELD}=[] works")
    labels = {name: label for label, name in enumerate(class_names)}
    found = set()
    for name in normal:
        label = labels.get(name, int(name) if re.fullmatch("[0-9]{1,18}", name) else None)
        if label is None or (class_names and label >= len(class_names)):
            known = ", ".join(class_names[:MOST_NAMED]) or "numbers, as the labels of this set have no names"
            raise ConfigError(f"{FIELD}={json.dumps([*normal])}: '{name}' is no class; the classes are {known}")
        found.add(label)
    return frozenset(found)


def is_kept(split: str, label: int | None, normal: frozenset[int]) -> bool:
    """Whether an example of this split stays."""
    return split == HELD_OUT or label in normal


def refuse_without_training(normal: Sequence[str], examples: int) -> None:
    """DataError where none of the training examples is normal."""
    if not examples:
        raise DataError(f"{FIELD}={json.dumps([*normal])}: no training example is of these classes; name one that has "
                        "some, as `gan dataset show` counts them")


def normal_of(data: Shards) -> Shards:
    """The set with the normal test examples alone; the set itself where nothing says which are normal.

    DataError when no test example is normal.
    """
    normal, test = data.facts.get(NORMAL), data.splits.get(HELD_OUT)
    if normal is None or test is None or test.labels is None:
        return data
    members = np.flatnonzero(np.isin(np.asarray(test.labels), normal))
    if not len(members):
        raise DataError(f"{FIELD}: no test example is of a normal class, so that nothing shows whether normal ones are "
                        f"told apart; name a class that the {HELD_OUT} split has")
    numbers = {name: column[members] for name, column in test.numbers.items()}
    kept = Split((test.gather(members),), np.asarray(test.labels)[members], kind=test.kind, numbers=numbers,
                 attribute_names=test.attribute_names)
    return replace(data, splits={**data.splits, HELD_OUT: kept})
