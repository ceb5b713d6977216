"""Which checkpoints stay: decided from their names alone, so that every attempt at a run decides alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gan_core.train.schedule import crossed


@dataclass(frozen=True)
class Retention:
    """Keeps the newest `last`, the best ones, and for each multiple of `every` images the first at or after it."""

    last: int
    every: int | None = None

    def kept(self, whole: Sequence[str], bests: Iterable[int]) -> set[str]:
        """Of the names of finished checkpoints, oldest first, those that stay.

        bests: the positions that the newest checkpoints call the best.  Where several attempts reached a position, the
        newest attempt stands for it.  What is kept for `every` does not change when the others are gone.
        """
        at = {position_of(name): name for name in whole}  # of one position the newest attempt comes last
        kept = {*whole[-self.last:], *(at[position] for position in bests if position in at)}
        if self.every is not None:
            for before, position in pairwise([0, *sorted(at)]):
                if crossed(position, step=position - before, every=self.every):
                    kept.add(at[position])
        return kept

    def doomed(self, names: Sequence[str], whole: Sequence[str], bests: Iterable[int]) -> list[str]:
        """Of all names, oldest first, those that go.

        An unfinished one goes when it is older than the newest `last` finished ones: a later one may be under way.
        """
        if len(whole) < self.last:
            return []
        kept = self.kept(whole, bests)
        return [name for name in names if name < whole[-self.last] and name not in kept]


def checkpoint_name(position: int, attempt: int) -> str:
    """Names sort as positions do, and as attempts do at one position."""
    return f"{position:012d}-{attempt:04d}"


def position_of(name: str) -> int:
    """The position in a part's or checkpoint's name."""
    return int(next(part for part in name.replace("-", ".").split(".") if part.isdigit()))
