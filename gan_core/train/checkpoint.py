"""Checkpoints and curves in the store, written whole by a background thread; attempts that give way to newer ones.

    runs/<key>/attempts/<NNNN>.json                   each start of this run, numbered by exclusive create
    runs/<key>/checkpoints/<position>-<attempt>/      state.pt, MANIFEST.json
    runs/<key>/metrics/<position>.jsonl               the curves since the checkpoint before
    runs/<key>/tensorboard/events.out.tfevents.<position>.part
"""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch

from gan_core.errors import CheckpointError, DamagedFile, Superseded
from gan_core.manifest import MANIFEST, artefact, read_manifest, read_named
from gan_core.store import Store
from gan_core.train.tensorboard import events

STATE = "state.pt"
Row = Mapping[str, float]


@dataclass(frozen=True)
class RunPlace:
    """Where a run lives in a store, and what made it: `key` names the settings that its checkpoints belong to."""

    store: Store
    prefix: str
    key: str

    def claim_attempt(self) -> int:
        """The number of this start of the run; every earlier attempt stops before its next write."""
        while True:
            number = self.newest_attempt() + 1
            who = {"host": socket.gethostname(), "pid": os.getpid()}
            try:
                self.store.create(f"{self.prefix}/attempts/{number:04d}.json", json.dumps(who).encode())
            except FileExistsError:
                continue
            return number

    def newest_attempt(self) -> int:
        return max((int(name.partition(".")[0]) for name in self.store.names(f"{self.prefix}/attempts")), default=0)

    def checkpoints(self) -> list[str]:
        """Names of checkpoints, oldest first, finished or not."""
        return sorted(self.store.names(f"{self.prefix}/checkpoints"))

    def load_newest(self) -> tuple[str, dict[str, Any]] | None:
        """Name and state of the newest checkpoint whose bytes are right; None when none was finished.

        Raises CheckpointError when it belongs to other settings, DamagedFile when checkpoints were finished and all
        are damaged.
        """
        damage: DamagedFile | None = None
        for name in reversed(self.checkpoints()):
            try:
                state = self.load(name)
            except DamagedFile as error:
                damage = error
                continue
            if state is not None:
                return name, state
        if damage is not None:
            raise damage
        return None

    def load(self, name: str) -> dict[str, Any] | None:
        """The state of one checkpoint, its bytes checked; None when it was not finished.  Errors as above."""
        prefix = f"{self.prefix}/checkpoints/{name}"
        manifest = read_manifest(self.store, prefix)
        if manifest is None:
            return None
        if manifest.key != self.key:
            raise CheckpointError(f"{self.store.uri(prefix)} was made with other settings than these; "
                                  "train under another run name, or with the settings it was made with")
        data = read_named(self.store, prefix, manifest, STATE)
        state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return state

    def drop_checkpoints(self, keep: int) -> None:
        """Removes what is older than the newest `keep` finished checkpoints."""
        names = self.checkpoints()
        whole = [name for name in names if self.store.exists(f"{self.prefix}/checkpoints/{name}/{MANIFEST}")]
        for name in names:
            if len(whole) >= keep and name < whole[-keep]:
                self.store.delete(f"{self.prefix}/checkpoints/{name}")

    def drop_curves_after(self, position: int) -> None:
        """Removes parts of the curves that a resume at `position` will write again."""
        for folder in ("metrics", "tensorboard"):
            for name in self.store.names(f"{self.prefix}/{folder}"):
                if position_of(name) > position:
                    self.store.delete(f"{self.prefix}/{folder}/{name}")

    def curves(self) -> bytes:
        """The whole curves, one row a line, wherever the run was interrupted."""
        names = self.store.names(f"{self.prefix}/metrics")
        return b"".join(self.store.read(f"{self.prefix}/metrics/{name}") for name in names)


@dataclass
class Writer:
    """Writes checkpoints one at a time beside training; an error shows at the next save or at `finish`."""

    place: RunPlace
    attempt: int
    keep: int
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "checkpoint"))
    _pending: Future[None] | None = None

    def save(self, snapshot: dict[str, Any], rows: list[Row]) -> str:
        """Begins to write a snapshot and the curves since the last one; returns the checkpoint's URI to be."""
        self.wait()
        prefix = f"{self.place.prefix}/checkpoints/{checkpoint_name(snapshot['position'], self.attempt)}"
        self._pending = self._thread.submit(self._write, prefix, snapshot, rows)
        return self.place.store.uri(prefix)

    def wait(self) -> None:
        """Until the last save is in the store; raises what went wrong with it."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        self._thread.shutdown()

    def _write(self, prefix: str, snapshot: dict[str, Any], rows: list[Row]) -> None:
        store, position = self.place.store, snapshot["position"]
        self.refuse_if_superseded()
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        store.write(f"{self.place.prefix}/metrics/{position:012d}.jsonl", lines.encode())
        store.write(f"{self.place.prefix}/tensorboard/events.out.tfevents.{position:012d}.part", events(rows))
        with artefact(store, prefix, kind="checkpoint", key=self.place.key) as draft:
            state = io.BytesIO()  # torch hides a full disk behind an error of its own when it writes to a file
            torch.save(snapshot, state)
            (draft.path / STATE).write_bytes(state.getbuffer())
            draft.facts.update(position=position, attempt=self.attempt, **snapshot["facts"])
        self.place.drop_checkpoints(self.keep)

    def refuse_if_superseded(self) -> None:
        """Superseded when this run has been started again since."""
        newest = self.place.newest_attempt()
        if newest > self.attempt:
            raise Superseded(f"attempt {self.attempt} of {self.place.store.uri(self.place.prefix)} gives way to "
                             f"attempt {newest}, which was started later")


def checkpoint_name(position: int, attempt: int) -> str:
    """Names sort as positions do, and as attempts do at one position."""
    return f"{position:012d}-{attempt:04d}"


def position_of(name: str) -> int:
    """The position in a part's or checkpoint's name."""
    return int(next(part for part in name.replace("-", ".").split(".") if part.isdigit()))
