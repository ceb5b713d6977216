"""What a generator can be asked for: one label, or a vector of attributes."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from gan_core.block import Config


class Attribute(Config):
    """One number that is known of each example.

    binary: 0 or 1.  categorical: 0 … values − 1.  continuous: from low to high.
    """

    name: str
    kind: Literal["binary", "categorical", "continuous"]
    values: int = Field(2, ge=2)
    low: float = 0.0
    high: float = 1.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"the attribute {self.name} goes from low={self.low} down to high={self.high}; "
                             "exchange them")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest value."""
        return {"binary": (0.0, 1.0), "categorical": (0.0, self.values - 1.0)}.get(self.kind, (self.low, self.high))

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
