"""How long training waits for the store: for a checkpoint much longer than for a look."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gan_core.patience import Note as Note
from gan_core.patience import Patience as Patience
from gan_core.patience import unheard as unheard
from gan_core.store import Store

READ_PATIENCE_S = 60.0
UPLOAD_PATIENCE_S = 1800.0  # of one checkpoint
WORKERS_WAIT_S = 2 * UPLOAD_PATIENCE_S + 600.0  # for each other: rank 0 may wait for the store with two checkpoints
T = TypeVar("T")


class PatientStore(Store):
    """The same store, with a patience that training chose in place of the store's own; also on a local disk.

    With `within`, all operations share one patience and its time; without, each has `seconds` of its own.
    """

    def __init__(
        self, store: Store, *, seconds: float = READ_PATIENCE_S, note: Note = unheard, within: Patience | None = None
    ) -> None:
        self.__dict__.update(store.__dict__)
        self._seconds, self._note, self._within = seconds, note, within

    def _patiently(self, path: str, act: Callable[[], T]) -> T:
        if self._within is not None:
            return self._within(act)
        with Patience(f"access to {self.url}", self._seconds, self._note) as patience:
            return patience(act)
