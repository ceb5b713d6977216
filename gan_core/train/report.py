"""What the engine asks of whoever runs it: to hear of progress, and to say when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class Command(IntEnum):
    """Rank 0's answer, told to all workers at the same position.

    STOP interrupts: a checkpoint, and the run is not finished.  FINISH ends it here: a rule of the experiment's.
    """

    CONTINUE = 0
    CHECKPOINT = 1
    STOP = 2
    FINISH = 3


@dataclass(frozen=True)
class Trouble:
    """Something that goes wrong in training.  name: 'mode collapse'; what: what was seen; advice: what to change."""

    name: str
    what: str
    advice: str


@dataclass(frozen=True)
class Began:
    """A start of the run, its `attempt`-th, goes on at a position."""

    attempt: int
    position: int
    workers: int


@dataclass(frozen=True)
class Held:
    """Training stood still for so long to hand over a checkpoint."""

    position: int
    seconds: float


@dataclass(frozen=True)
class Uploaded:
    """A checkpoint is whole in the store, so long after it was handed over."""

    position: int
    seconds: float


@dataclass(frozen=True)
class Waiting:
    """The workers that all others wait for have changed.  ranks: of those that are slow now."""

    position: int
    ranks: tuple[int, ...]


Event = Began | Held | Uploaded | Waiting
"""What an operator counts or plots, in numbers; `note` has the words where a person should know."""


class Reporter(Protocol):
    """A terminal, a Ray worker, a test.  All but `checkpoint`, and `event` of Began, are called on rank 0 alone."""

    def scalars(self, position: int, values: Mapping[str, float]) -> None:
        """One row of the curves: means over all workers since the last row."""

    def trouble(self, position: int, trouble: Trouble) -> None:
        """Training goes wrong in a way that a person can do something about; told once while it lasts."""

    def note(self, text: str) -> None:
        """Something an operator should know: an upload tried again, a roll-back, a file that could not be deleted."""

    def checkpoint(self, position: int, saved: str) -> None:
        """A checkpoint of this position is on its way to the URI `saved`.  Called on every rank."""

    def event(self, event: Event) -> None:
        """From any thread.  It must not wait for anything, nor raise."""

    def command(self) -> Command:
        """What to do after the step that begins now.  Asked at every step: it must not wait for anything."""


class Silent:
    """Hears everything, says nothing, goes on."""

    def scalars(self, position: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def trouble(self, position: int, trouble: Trouble) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def checkpoint(self, position: int, saved: str) -> None:
        """Nothing."""

    def event(self, event: Event) -> None:
        """Nothing."""

    def command(self) -> Command:
        return Command.CONTINUE
