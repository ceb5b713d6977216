"""What every block of settings is: frozen, and deaf to keys it does not know."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]


class Config(BaseModel):
    """A frozen block of settings that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    # Settings that move work about without changing what it makes: they are in no stage key.
    NOT_IN_KEY: ClassVar[frozenset[str]] = frozenset()

    def not_in_key(self) -> frozenset[str]:
        """The settings of this block that are in no stage key."""
        return self.NOT_IN_KEY
