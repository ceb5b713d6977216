"""Small checkpoints, saved and looked at."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any

import torch

from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from gan_core.train.retention import Retention
from gan_core.train.uploads import Writer

SECRET = "a-secret-that-must-not-travel"
KEEP = Retention(9)


def place_in(store: Store) -> RunPlace:
    """A run of its own."""
    return RunPlace(store, f"runs/{uuid.uuid4().hex}", "k")


def snapshot(position: int, best: int | None = None) -> dict[str, Any]:
    state = torch.full((1000,), float(position))
    return {"networks": {"generator": {"w": state}}, "position": position, "facts": {"worlds": [1]},
            "best": None if best is None else {"position": best, "value": 0.5}}


def row(position: int) -> dict[str, float]:
    return {"position": position, "loss/generator": position / 7}


def save(writer: Writer, position: int) -> str:
    files = {f"samples/{position:012d}.png": f"picture of {position}".encode()}
    return writer.save(snapshot(position, best=128), [row(position - 64), row(position)], files)


def assert_whole(place: RunPlace, *positions: int) -> None:
    """These checkpoints and no others are there, with their curves and pictures, each once."""
    assert [int(name[:12]) for name in place.whole()] == list(positions)
    for name, position in zip(place.whole(), positions, strict=True):
        saved = place.load(name)
        assert saved is not None
        assert torch.equal(saved["networks"]["generator"]["w"], torch.full((1000,), float(position)))
        assert place.store.read(f"{place.prefix}/samples/{position:012d}.png") == f"picture of {position}".encode()
    rows = [json.loads(line)["position"] for line in place.curves().splitlines()]
    assert rows == [p for position in positions for p in (position - 64, position)]
    assert len(place.store.names(f"{place.prefix}/tensorboard")) == len(positions)


class Heard:
    """Notes, and waiting for one."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._more = threading.Condition()

    def __call__(self, text: str) -> None:
        with self._more:
            self.notes.append(text)
            self._more.notify_all()

    def wait_for(self, part: str) -> None:
        with self._more:
            assert self._more.wait_for(lambda: any(part in note for note in self.notes), 60), self.notes
