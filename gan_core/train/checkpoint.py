"""Where a run keeps its checkpoints and curves in the store, and how a resume finds them.

    runs/<key>/attempts/<NNNN>.json                   each start of this run, numbered by exclusive create
    runs/<key>/checkpoints/<position>-<attempt>/      state.pt, MANIFEST.json
    runs/<key>/metrics/<position>.jsonl               the curves since the checkpoint before
    runs/<key>/tensorboard/events.out.tfevents.<position>.part
    runs/<key>/samples/<position>.png                 grids of samples
    runs/<key>/progress.json                          the newest row and fd_domain, in a checkpoint or not
"""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch

from gan_core.errors import CheckpointError, DamagedFile
from gan_core.manifest import MANIFEST, Manifest, read_manifest, read_named
from gan_core.store import Store
from gan_core.train.patience import PatientStore, unheard
from gan_core.train.retention import checkpoint_name as checkpoint_name
from gan_core.train.retention import position_of as position_of

STATE = "state.pt"
BY_POSITION = ("metrics", "tensorboard", "samples")  # folders whose files carry a position in their names
Row = Mapping[str, float]


@dataclass(frozen=True)
class RunPlace:
    """Where a run lives in a store, and what made it: `key` names the settings that its checkpoints belong to.

    What is done here is tried again for a minute when the store does not answer, so that a restart during an outage
    does not end the run; `note` hears of it.  Then StoreError.
    """

    store: Store
    prefix: str
    key: str
    note: Callable[[str], None] = field(default=unheard, compare=False, repr=False)
    tries_again: bool = field(default=True, compare=False, repr=False)

    @property
    def patient(self) -> Store:
        """The store, tried again through outages; the store itself where `tries_again` is off."""
        return PatientStore(self.store, note=self.note) if self.tries_again else self.store

    def claim_attempt(self) -> int:
        """The number of this start of the run; every earlier attempt stops before its next write."""
        number = 0
        while True:
            number = max(number, self.newest_attempt()) + 1  # a listing may not have the newest yet
            who = {"host": socket.gethostname(), "pid": os.getpid()}
            try:
                self.patient.create(f"{self.prefix}/attempts/{number:04d}.json", json.dumps(who).encode())
            except FileExistsError:
                continue
            return number

    def newest_attempt(self) -> int:
        return newest_attempt(self.patient, self.prefix)

    def checkpoint(self, name: str) -> str:
        """The prefix of one checkpoint."""
        return f"{self.prefix}/checkpoints/{name}"

    def checkpoints(self) -> list[str]:
        """Names of checkpoints, oldest first, finished or not."""
        return sorted(self.patient.names(f"{self.prefix}/checkpoints"))

    def whole(self) -> list[str]:
        """Names of finished checkpoints, oldest first."""
        paths = self.patient.sizes(f"{self.prefix}/checkpoints")  # one listing, however many are kept
        return sorted(path.partition("/")[0] for path in paths if path.endswith(f"/{MANIFEST}"))

    def name_at(self, position: int) -> str | None:
        """The name of the newest finished checkpoint of a position; None when there is none."""
        return max((name for name in self.whole() if position_of(name) == position), default=None)

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
        manifest = self.manifest(name)
        if manifest is None:
            return None
        if manifest.key != self.key:
            raise CheckpointError(f"{self.store.uri(self.checkpoint(name))} was made with other settings than these; "
                                  "train under another run name, or with the settings it was made with")
        data = read_named(self.patient, self.checkpoint(name), manifest, STATE)
        state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return state

    def manifest(self, name: str) -> Manifest | None:
        """What one checkpoint says of itself; None when it was not finished.  DamagedFile when it is no manifest."""
        return read_manifest(self.patient, self.checkpoint(name))

    def drop(self, name: str) -> None:
        """Removes one checkpoint, its manifest first, so that a half deleted one is not there."""
        self.patient.delete(f"{self.checkpoint(name)}/{MANIFEST}")
        self.patient.delete(self.checkpoint(name))

    def drop_curves_after(self, position: int) -> None:
        """Removes parts of the curves and samples that a resume at `position` will write again."""
        for folder in BY_POSITION:
            for name in self.patient.names(f"{self.prefix}/{folder}"):
                if position_of(name) > position:
                    self.patient.delete(f"{self.prefix}/{folder}/{name}")

    def curves(self) -> bytes:
        """The whole curves, one row a line, wherever the run was interrupted."""
        names = self.patient.names(f"{self.prefix}/metrics")
        return b"".join(self.patient.read(f"{self.prefix}/metrics/{name}") for name in names)


def newest_attempt(store: Store, run: str) -> int:
    """The number of the newest start of a run; 0 when it was never started."""
    return max((int(name.partition(".")[0]) for name in store.names(f"{run}/attempts")), default=0)


def save_state(state: dict[str, Any], path: Path) -> None:
    """torch.save, without a second copy in memory.  OSError when the disk is full.

    torch reports a write that failed as an error about the positions in its archive, and the reason is lost.
    """
    with path.open("wb") as handle:
        file = _Remembering(handle)
        try:
            torch.save(state, file)  # type: ignore[arg-type]  # it asks for no more than write()
        except RuntimeError as error:
            if file.error is not None:
                raise file.error from error
            raise


class _Remembering(io.RawIOBase):
    """Passes what is written on to a file, and remembers why it could not be."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise
