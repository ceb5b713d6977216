"""Checkpoints on their way to the store, beside training: bounded in number, in order, whole, through outages.

    save → waits for room → [one thread] curves, tensorboard, files → state.pt → MANIFEST.json → retention
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from gan_core.errors import DamagedFile, StoreError, Superseded
from gan_core.manifest import artefact
from gan_core.outages import reason, transient
from gan_core.store import Store
from gan_core.train.checkpoint import STATE, Row, RunPlace, save_state
from gan_core.train.fence import OfAttempt
from gan_core.train.patience import READ_PATIENCE_S, UPLOAD_PATIENCE_S, Patience
from gan_core.train.progress import PROGRESS, Newest
from gan_core.train.report import Trouble, Uploaded
from gan_core.train.retention import Retention as Retention
from gan_core.train.retention import checkpoint_name
from gan_core.train.tensorboard import events

AT_ONCE = 2  # snapshots in memory: one on its way, one that waits for it


@dataclass
class _Job:
    """One checkpoint to be written.  Its snapshot is let go as soon as it is on the disk."""

    position: int
    prefix: str
    snapshot: dict[str, Any]
    rows: list[Row]
    files: Mapping[str, bytes]
    since: float = field(default_factory=time.monotonic)


class Writer:
    """Writes checkpoints in order beside training; an error that cannot be mended shows at the next save or `wait`.

    Outages are waited out for `patience` seconds a checkpoint while training goes on; `note` hears of them, and of
    checkpoints that could not be deleted; `uploaded` of each that is whole in the store.  Both are called from a thread
    of the Writer's own.  After an error nothing more is written.
    """

    def __init__(
        self, place: RunPlace, attempt: int, keep: Retention, note: Callable[[str], None],
        patience: float = UPLOAD_PATIENCE_S, uploaded: Callable[[Uploaded], None] = lambda event: None,
    ) -> None:
        self.uploaded = uploaded
        self.place = place
        self.attempt = attempt
        self.keep = keep
        self.note = note
        self.patience = patience
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._room = threading.BoundedSemaphore(AT_ONCE)
        self._saves: deque[Future[None]] = deque()
        self._failure: Exception | None = None
        self._heard = False  # whether the failure was raised where somebody meets it
        self._closing = threading.Event()
        self._undeletable: set[str] = set()
        self._progress = Newest(self._write_progress)

    def save(self, snapshot: dict[str, Any], rows: list[Row], files: Mapping[str, bytes]) -> str:
        """Begins to write a snapshot, the curves since the last one, and `files`, by path below the run's prefix.

        Returns the checkpoint's URI to be.  Waits while two earlier ones are not in the store yet, and says so.
        Raises what went wrong with an earlier one.
        """
        position = snapshot["position"]
        if not self._room.acquire(blocking=False):
            self.note(f"training waits at {position:,} images: the {AT_ONCE} checkpoints before this one are not in "
                      "the store yet")
            self._room.acquire()
        if self._failure is not None:
            self._room.release()
        self._raise_failure()
        prefix = self.place.checkpoint(checkpoint_name(position, self.attempt))
        self._saves.append(self._thread.submit(self._take, _Job(position, prefix, snapshot, rows, files)))
        return self.place.store.uri(prefix)

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is on its way."""
        return bool(self._saves) and not self._saves[-1].done()

    def tell(
        self, row: Row, troubles: Sequence[Trouble], compared: Mapping[str, float] | None = None,
        slow: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Has the newest row and what goes wrong written to progress.json, when the store is well; never waits.

        compared: the newest values of what few rows hold.  slow: the workers that all others wait for.
        """
        finite = {name: value if math.isfinite(value) else None for name, value in row.items()}
        told = {"row": finite, "troubles": [asdict(t) for t in troubles], "compared": dict(compared or {}),
                **({"slow_workers": list(slow)} if slow else {})}
        self._progress.tell(json.dumps(told).encode())

    def wait(self) -> None:
        """Until all that was saved is in the store; raises what went wrong with it."""
        while self._saves:
            self._saves.popleft().result()
        self._raise_failure()

    def close(self) -> None:
        """Lets the saves end that can end now: of what fails from here on, nothing is tried again."""
        self._closing.set()
        self._thread.shutdown()
        self._progress.close()
        if self._failure is not None and not self._heard:
            self.note(str(self._failure))

    def refuse_if_superseded(self) -> None:
        """Superseded when this run has been started again since."""
        self.ours(READ_PATIENCE_S).refuse_if_superseded()

    def ours(self, seconds: float) -> OfAttempt:
        """The store, patient for so long with each operation, as long as this attempt is the newest."""
        return OfAttempt(self.place.store, self.place.prefix, self.attempt, seconds=seconds, note=self.note)

    def drop_curves_after(self, position: int) -> None:
        """What a resume there will write again; Superseded when that is another attempt's by now."""
        replace(self.place, store=self.ours(READ_PATIENCE_S), tries_again=False).drop_curves_after(position)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._heard = True
            raise self._failure

    def _take(self, job: _Job) -> None:
        try:
            if self._failure is None:
                self._write(job)
                self.uploaded(Uploaded(job.position, time.monotonic() - job.since))
                self._tidy()
        except OSError as error:
            self._failure = StoreError(f"{self.place.store.uri(job.prefix)}: could not be written: {reason(error)}; "
                                       "nothing that was finished is lost: put it right, and run the same command")
            self._failure.__cause__ = error
        except Exception as error:
            self._failure = error
        finally:
            self._room.release()

    def _write(self, job: _Job) -> None:
        with Patience(
            f"upload of checkpoint {job.position:,}", self.patience, self.note, give_up=self._closing
        ) as patience:
            # another attempt may begin meanwhile, where the store can be reached
            store = OfAttempt(self.place.store, self.place.prefix, self.attempt, within=patience)
            self._write_parts(store, job)
            self._write_state(store, job)

    def _write_parts(self, store: Store, job: _Job) -> None:
        run, position = self.place.prefix, job.position
        lines = "".join(json.dumps(row) + "\n" for row in job.rows)
        store.write(f"{run}/metrics/{position:012d}.jsonl", lines.encode())
        store.write(f"{run}/tensorboard/events.out.tfevents.{position:012d}.part", events(job.rows))
        for path, data in job.files.items():
            store.write(f"{run}/{path}", data)

    def _write_state(self, store: OfAttempt, job: _Job) -> None:
        best = job.snapshot.get("best")
        facts = {"position": job.position, "attempt": self.attempt,
                 "best": best and int(best["position"]), **job.snapshot["facts"]}
        with artefact(store, job.prefix, kind="checkpoint", key=self.place.key) as draft:
            save_state(job.snapshot, draft.path / STATE)
            job.snapshot = {}  # an outage may keep the rest of the work waiting: with the file, not with both
            draft.facts.update(facts)
            store.refuse_if_superseded()  # a new folder of a local disk is put in place by one rename

    def _tidy(self) -> None:
        """Removes the checkpoints that need not stay.  What fails is told once, and tried again after the next save."""
        place = replace(self.place, store=self.ours(0).once(), tries_again=False)
        try:
            names, whole = place.checkpoints(), place.whole()
            doomed = self.keep.doomed(names, whole, bests_of(place, whole[-self.keep.last:]))
        except Exception as error:  # every file system has its own, and none is worth a training run
            self.note(f"{place.store.uri(place.prefix)}/checkpoints could not be listed: {reason(error)}; "
                      "old ones stay until the next is written")
            return
        for name in doomed:
            try:
                place.drop(name)
            except Superseded:
                raise
            except Exception as error:
                if name not in self._undeletable:
                    self.note(f"{place.store.uri(place.checkpoint(name))} could not be deleted: {reason(error)}; "
                              "this is tried again after each checkpoint")
                self._undeletable.add(name)
                if transient(error):
                    return

    def _write_progress(self, line: bytes) -> None:
        self.ours(0).once().write(f"{self.place.prefix}/{PROGRESS}", line)


def bests_of(place: RunPlace, names: Sequence[str]) -> set[int]:
    """The positions that these checkpoints call the best.  Any of them may be the one that a resume begins from."""
    found = set()
    for name in names:
        try:
            manifest = place.manifest(name)
        except DamagedFile:
            continue
        if manifest is not None and manifest.facts.get("best") is not None:
            found.add(int(manifest.facts["best"]))
    return found
