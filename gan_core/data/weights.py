"""`train.sampling` as a weight for each example.

natural              every example once an epoch; no weights
balanced             every class is drawn as often as the others
sqrt                 a class is drawn as often as the square root of its size says
{cat: 2, 7: 0}       a class, by name or label, is drawn as often as its number says; 1 if not named, 0 leaves it out
{column: quality}    an example is drawn as often as its number in that column says: `weight` or an attribute
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import ConfigError

FIELD = "train.sampling"
NATURAL, BALANCED, SQRT, COLUMN = "natural", "balanced", "sqrt", "column"
MOST_NAMED = 20  # of the classes that a message lists

Sampling = str | Mapping[Any, Any]


def weights_for(
    sampling: Sampling,
    *,
    labels: NDArray[np.int64] | None,
    class_names: Sequence[str] = (),
    columns: Mapping[str, NDArray[np.float64]],
) -> NDArray[np.float64] | None:
    """How often to draw each example in comparison with the others, [N]; None where the order is natural.

    labels: [N].  class_names: by label.  columns: numbers of each example, [N], by name.
    ConfigError when the set has not what `sampling` names, or a weight is negative, not finite, or none is above 0.
    """
    if sampling == NATURAL:
        return None
    if isinstance(sampling, Mapping) and isinstance(sampling.get(COLUMN), str):
        return _by_column(sampling, columns)
    if labels is None:
        raise ConfigError(f"{FIELD}={shown(sampling)} needs labels, which this set has not; "
                          f"{FIELD}={NATURAL} works")
    classes, class_of, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if isinstance(sampling, Mapping):
        shares = _shares(sampling, classes, class_names)
    elif sampling in (BALANCED, SQRT):
        shares = np.ones(len(classes)) if sampling == BALANCED else np.sqrt(sizes)
    else:
        raise ConfigError(f"{FIELD}={sampling}: not a way to sample; {NATURAL}, {BALANCED} and {SQRT} are, "
                          "or {class: weight}, or {column: name}")
    return np.asarray((shares / sizes)[class_of])


def _by_column(sampling: Mapping[Any, Any], columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    name = sampling[COLUMN]
    if len(sampling) > 1:
        raise ConfigError(f"{FIELD}={shown(sampling)}: a column stands alone; {FIELD}={{{COLUMN}: {name}}} works")
    if name not in columns:
        known = f"it has {', '.join(columns)}" if columns else f"it has none; {FIELD}={NATURAL} works"
        raise ConfigError(f"{FIELD}.{COLUMN}={name}: the set has no such column of numbers; {known}")
    weights = columns[name]
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise ConfigError(f"{FIELD}.{COLUMN}={name}: training example {bad[0]} has {weights[bad[0]]}; "
                          "a weight is a number of 0 or more")
    if not weights.any():
        raise ConfigError(f"{FIELD}.{COLUMN}={name}: every training example has 0; one must have more")
    return weights


def _shares(sampling: Mapping[Any, Any], classes: NDArray[np.int64], class_names: Sequence[str]) -> NDArray[np.float64]:
    """How often to draw each class that has examples, in the order of `classes`."""
    known = {int(label): class_names[label] if label < len(class_names) else str(label) for label in classes}
    labels = {name: label for label, name in enumerate(class_names)}
    shares = dict.fromkeys(known, 1.0)
    named = set()
    for key, weight in sampling.items():
        field = f"{FIELD}.{key}={weight}"
        name = str(key)  # a label is a number in YAML and text in JSON; both must mean the same class
        label = labels.get(name, int(name) if re.fullmatch("[0-9]{1,18}", name) else None)
        if label is None or (label not in known and label >= len(class_names)):
            raise ConfigError(f"{field}: no such class; the classes are {_listed(known)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise ConfigError(f"{field}: a weight is a number of 0 or more")
        if label in named:
            raise ConfigError(f"{field}: the class with the label {label} is named twice; name it once")
        if label not in known and weight:
            raise ConfigError(f"{field}: no training example is of that class; those that have some are "
                              f"{_listed(known)}")
        named.add(label)
        if label in known:
            shares[label] = float(weight)
    if not any(shares.values()):
        raise ConfigError(f"{FIELD}={shown(sampling)}: every class has the weight 0; one of {_listed(known)} "
                          "must have more")
    return np.array([shares[int(label)] for label in classes])


def _listed(known: Mapping[int, str]) -> str:
    names = [name if name == str(label) else f"{name} ({label})" for label, name in known.items()]
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")


def shown(sampling: Sampling) -> str:
    """The setting in one line."""
    if isinstance(sampling, str):
        return sampling
    return "{" + ", ".join(f"{key}: {value}" for key, value in sampling.items()) + "}"
