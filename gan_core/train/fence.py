"""A store that takes nothing more from an attempt which another has replaced.

Looked at before every change and every further try of one: an attempt that was cut off, or stopped for a while, finds
out before it writes again, however far it was.
"""

from __future__ import annotations

from pathlib import Path

from gan_core.errors import Superseded
from gan_core.patience import Note, Patience, unheard
from gan_core.store import Store
from gan_core.train.checkpoint import newest_attempt
from gan_core.train.patience import READ_PATIENCE_S, PatientStore


class OfAttempt(PatientStore):
    """The same store for one attempt at a run: changes raise Superseded once the run has been started again."""

    def __init__(
        self, store: Store, run: str, attempt: int, *, seconds: float = READ_PATIENCE_S, note: Note = unheard,
        within: Patience | None = None,
    ) -> None:
        super().__init__(store, seconds=seconds, note=note, within=within)
        self._run, self._attempt, self._look = run, attempt, store.once()

    def refuse_if_superseded(self) -> None:
        self._tried(self._run, self._refuse)

    def _write(self, path: str, data: bytes) -> None:
        self._refuse()
        super()._write(path, data)

    def _put(self, local: Path, path: str) -> None:
        self._refuse()
        super()._put(local, path)

    def _delete(self, full: str) -> None:
        self._refuse()
        super()._delete(full)

    def _refuse(self) -> None:
        newest = newest_attempt(self._look, self._run)
        if newest > self._attempt:
            raise Superseded(f"attempt {self._attempt} of {self.uri(self._run)} gives way to attempt {newest}, which "
                             "was started later")
