"""What a generator can be asked for: one label, or a vector of attributes."""

from __future__ import annotations

from typing import Literal

from gan_core.block import Config


class Attribute(Config):
    """One number that is known of each example.

    binary: 0 or 1.  categorical: 0 … values − 1.  continuous: from low to high.
    """

    name: str
    kind: Literal["binary", "categorical", "continuous"]
    values: int = 2
    low: float = 0.0
    high: float = 1.0

    @property
    def heads(self) -> int:
        """Numbers that predict it: a logit a value, one logit of a binary one, one value of a continuous one."""
        return self.values if self.kind == "categorical" else 1


class Conditions(Config):
    """What networks are told of each example: `label`, [n] int64 of so many classes, or [n, attributes] float32.

    Neither for networks that are told nothing.
    """

    classes: int = 0
    attributes: tuple[Attribute, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.classes or self.attributes)

    @property
    def heads(self) -> int:
        """Numbers that a classifier of all of it puts out."""
        return self.classes + sum(attribute.heads for attribute in self.attributes)
