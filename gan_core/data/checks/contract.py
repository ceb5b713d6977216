"""Whether an item is an Example as its class promises: types, axes, label, weight, attributes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gan_core.data.checks.concern import Terms
from gan_core.data.checks.report import Finding, Named
from gan_core.data.layout import AXES, TYPES
from gan_core.data.source import TENSORS, Example

ADVICE = {
    "not_an_example": "yield Example(image, label), or Bad(where, reason)",
    "no_data": f"give it one of {', '.join(TENSORS)}",
    "wrong_type": "convert it in the source; for floats in 0 … 1: np.round(image * 255).astype(np.uint8)",
    "wrong_axes": "give it these axes in the source; for [C, H, W]: image.transpose(1, 2, 0)",
    "wrong_label": "a label is a whole number from 0, or None where the set has none",
    "wrong_weight": "weights and attributes are finite numbers, weights of 0 or more",
}


def fault(item: Any) -> tuple[str, str] | None:
    """(kind, what) of the first way in which an item breaks the contract; None for a sound Example."""
    if not isinstance(item, Example):
        return "not_an_example", f"a {type(item).__name__} instead of an Example"
    tensors = item.tensors()
    if not tensors:
        return "no_data", "an Example without data"
    faults = (_tensor_fault(name, value) for name, value in tensors.items())
    return next((found for found in faults if found), None) or _label_fault(item.label) or _number_fault(item)


def _tensor_fault(name: str, value: Any) -> tuple[str, str] | None:
    if not isinstance(value, np.ndarray):
        return "wrong_type", f"{name} is a {type(value).__name__}; it must be an array [{AXES[name]}]"
    wanted = np.dtype(TYPES[name])
    if value.dtype != wanted:
        return "wrong_type", f"{name} is {value.dtype}{_span(value)}; it must be {wanted}"
    axes, last = len(AXES[name].split(", ")), 4
    fewest = axes if name == "tokens" else axes - 1
    channels = value.shape[-1] if name in ("image", "image_b", "video") and value.ndim == axes else 1
    if not fewest <= value.ndim <= axes or 0 in value.shape or channels > last:
        return "wrong_axes", f"{name} has the shape {list(value.shape)}; it must be [{AXES[name]}]" + \
            (" with C = 1 … 4" if name not in ("audio", "tokens") else "")
    return None


def _span(value: Any) -> str:
    if value.dtype.kind not in "fiu" or not value.size:
        return ""
    return f" from {value.min():.4g} to {value.max():.4g}"


def _label_fault(label: Any) -> tuple[str, str] | None:
    if label is None or (isinstance(label, int | np.integer) and not isinstance(label, bool) and 0 <= label < 2**63):
        return None
    return "wrong_label", f"the label is {str(label)[:40]!r} ({type(label).__name__})"


def _number_fault(item: Example) -> tuple[str, str] | None:
    if item.weight is not None and not (_is_finite(item.weight) and item.weight >= 0):
        return "wrong_weight", f"the weight is {item.weight!r}"
    if not isinstance(item.attributes, Mapping):
        return "wrong_weight", f"the attributes are a {type(item.attributes).__name__}, not numbers by name"
    odd = next((name for name, value in item.attributes.items() if not _is_finite(value)), None)
    return None if odd is None else ("wrong_weight", f"the attribute {odd} is {item.attributes[odd]!r}")


def _is_finite(value: Any) -> bool:
    return isinstance(value, int) or (isinstance(value, float | np.floating | np.integer) and math.isfinite(value))


class Contract:
    """Items that break the contract, by how they do."""

    def __init__(self) -> None:
        self._faults: dict[tuple[str, str], tuple[str, Named]] = {}  # (split, kind) → first fault, items
        self.items = 0

    def add(self, split: str, name: str, found: tuple[str, str]) -> None:
        kind, what = found
        self._faults.setdefault((split, kind), (what, Named()))[1].add(name)

    def findings(self, terms: Terms) -> Iterator[Finding]:
        for (split, kind), (what, items) in self._faults.items():
            many = f"{items.count:,} items, the first: " if items.count > 1 else ""
            yield Finding(terms.for_left_out(items.count, self.items), kind, f"{split}: {items}", f"{many}{what}",
                          ADVICE[kind])
