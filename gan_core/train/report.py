"""What the engine asks of whoever runs it: to hear of progress, and to say when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Protocol


class Command(IntEnum):
    """Rank 0's answer, told to all workers at the same position."""

    CONTINUE = 0
    CHECKPOINT = 1
    STOP = 2


class Reporter(Protocol):
    """A terminal, a Ray worker, a test."""

    def scalars(self, position: int, values: Mapping[str, float]) -> None:
        """One row of the curves: means over all workers since the last row.  Called on rank 0."""

    def checkpoint(self, position: int, saved: str) -> None:
        """A checkpoint of this position is on its way to the URI `saved`.  Called on every rank."""

    def command(self) -> Command:
        """What to do next.  Asked of rank 0 at every row of the curves."""


class Silent:
    """Hears everything, says nothing, goes on."""

    def scalars(self, position: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def checkpoint(self, position: int, saved: str) -> None:
        """Nothing."""

    def command(self) -> Command:
        return Command.CONTINUE
