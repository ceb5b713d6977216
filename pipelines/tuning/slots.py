"""Room for so many trials at a time, where each trains with several workers.

Tune reserves nothing for the workers that a trial starts by itself, so trials take turns: a trial holds a slot while it
trains, and says so again and again.  The slot of one that fell silent is free.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

SILENT_S = 15.0
AGAIN_S = 0.5
ANSWER_S = 60.0  # after which the slots' process is lost, though nobody has said so


class Slots:
    """Who holds a slot, and when it was last heard of.  In one process of Ray's."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._held: dict[str, float] = {}

    def hold(self, who: str) -> bool:
        """Whether `who` has a slot now; said again by a holder, it keeps it."""
        now = time.monotonic()
        self._held = {name: heard for name, heard in self._held.items() if now - heard < SILENT_S}
        if who in self._held or len(self._held) < self._room:
            self._held[who] = now
        return who in self._held

    def free(self, who: str) -> None:
        """Gives the slot up."""
        self._held.pop(who, None)


def make_slots(room: int) -> Any:
    """Ray's handle on slots for so many trials; they end with the process that made them."""
    return ray.remote(num_cpus=0)(Slots).remote(room)


@contextmanager
def slot(slots: Any, who: str) -> Iterator[Slot]:
    """Waits for a slot and gives it up at the end."""
    held = Slot(slots, who)
    while not held.keep():
        time.sleep(AGAIN_S)
    try:
        yield held
    finally:
        held.free()


class Slot:
    """One holder's side."""

    def __init__(self, slots: Any, who: str) -> None:
        self._slots, self._who = slots, who

    def keep(self) -> bool:
        """Says that it is still needed; False where it is not held."""
        held: bool = ray.get(self._slots.hold.remote(self._who), timeout=ANSWER_S)
        return held

    def free(self) -> None:
        """Gives it up."""
        self._slots.free.remote(self._who)
