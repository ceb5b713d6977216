"""Runs beside each other that would make the same result: one makes it, the others wait and find it made."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from gan_core.manifest import canonical_digest
from pipelines.plan import Action, Step


@dataclass
class Turns:
    """Who makes which result now.  A result is told by all that it is made from."""

    _making: set[str] = field(default_factory=set)
    _made: set[str] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def taken(self, results: Collection[str]) -> Iterator[None]:
        """Waits until nobody makes any of them; in the block this one does, those that are not made by then."""
        with self._changed:
            self._changed.wait_for(lambda: self._making.isdisjoint(results))
            mine = set(results) - self._made
            self._making |= mine
        try:
            yield
        finally:
            with self._changed:
                self._making -= mine
                self._changed.notify_all()

    def made(self, results: Collection[str]) -> None:
        """They are there now: nobody need wait for them."""
        with self._changed:
            self._making -= set(results)
            self._made |= set(results)
            self._changed.notify_all()


def results_of(steps: Sequence[Step]) -> dict[str, str]:
    """What a run would make, by stage: a digest of what each result, and those before it, are made from."""
    found: dict[str, str] = {}
    before: list[object] = []
    for step in steps:
        before.append([step.record.config, step.record.code, step.record.inputs])
        if step.action is not Action.REUSE:
            found[step.stage] = canonical_digest({"made_from": before})
    return found
