"""Runs of the tiny experiment, interrupted where a test says so."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from gan_core.config import Experiment
from gan_core.data.shards import open_shards
from gan_core.manifest import Manifest, read_manifest
from gan_core.store import Store
from gan_core.train.__main__ import main
from gan_core.train.checkpoint import RunPlace
from gan_core.train.loop import fit
from gan_core.train.report import Command, Event, Trouble

RUN = "runs/r"


@dataclass
class Scripted:
    """Gives its commands at their positions, dies at another, and remembers what it heard.

    start, step: where this start of the run begins, and the images of a step; it is asked once a step.
    """

    commands: Mapping[int, Command] = field(default_factory=dict)
    dies_at: int = -1
    start: int = 0
    step: int = 64
    asked: int = 0
    rows: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    saved: list[tuple[int, str]] = field(default_factory=list)
    troubles: list[tuple[int, Trouble]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def scalars(self, position: int, values: Mapping[str, float]) -> None:
        self.rows.append((position, dict(values)))
        if position == self.dies_at:
            raise KeyboardInterrupt

    def trouble(self, position: int, trouble: Trouble) -> None:
        self.troubles.append((position, trouble))

    def note(self, text: str) -> None:
        self.notes.append(text)

    def checkpoint(self, position: int, saved: str) -> None:
        self.saved.append((position, saved))

    def event(self, event: Event) -> None:
        self.events.append(event)

    def command(self) -> Command:
        self.asked += 1
        return self.commands.get(self.start + self.asked * self.step, Command.CONTINUE)


def stop_at(position: int, start: int = 0, step: int = 64) -> Scripted:
    return Scripted({position: Command.STOP}, start=start, step=step)


def place(store: Store, key: str = "k") -> RunPlace:
    return RunPlace(store, RUN, key)


def train(store: Store, digits: Store, experiment: Experiment, reporter: Any = None, threads: int | None = 1) -> bool:
    """One start of the run in `store` on the digits in another; whether it came to its end."""
    shards = open_shards(digits, "shards/digits")
    return fit(experiment, shards, place(store), reporter or Scripted(), threads=threads)


def finished(store: Store) -> Manifest:
    """The manifest of the finished run."""
    manifest = read_manifest(store, RUN)
    assert manifest is not None
    return manifest


def curves(store: Store) -> bytes:
    """The curves of the finished run, whole."""
    parts = [f.path for f in finished(store).files if f.path.startswith("metrics")]
    return b"".join(store.read(f"{RUN}/{part}") for part in sorted(parts))


def last_state(store: Store) -> dict[str, Any]:
    state = place(store).load_newest()
    assert state is not None
    return state[1]


def contents(store: Store) -> dict[str, bytes]:
    return {path: store.read(path) for path in store.sizes("")}


def equal(a: Any, b: Any) -> bool:
    """Whether two nested records hold the same values, tensors bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


def close_enough(two: dict[str, Any], one: dict[str, Any], learning_rate: float) -> bool:
    """Whether two states after three steps are those of the same steps.

    Both add the same numbers in another order, so gradients differ by about 1e-7 of themselves; Adam makes steps of
    about the learning rate out of gradients of any size, so weights may differ by that share of it, and by more where
    a gradient is itself a small difference: single ones by 0.013 of a step, the mean by 2e-5.  The mean is what shows a
    norm, penalty or average over one worker's rows alone: it is then off by whole steps.
    """
    ours, theirs = _leaves(two), _leaves(one)
    if ours.keys() != theirs.keys():
        return False
    apart = torch.cat([(ours[name].double() - theirs[name].double()).abs().flatten() for name in theirs])
    return bool(apart.max() <= 0.05 * learning_rate and apart.mean() <= 1e-4 * learning_rate)


def _leaves(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {f"{kind}/{net}/{name}": tensor for kind in ("networks", "averages")
            for net, tensors in state[kind].items() for name, tensor in tensors.items()}


def run_main(*arguments: object) -> int:
    """`python -m gan_core.train` in this process, which keeps its signals."""
    signals = (signal.SIGTERM, signal.SIGINT)
    handlers = [signal.getsignal(number) for number in signals]
    try:
        return main([str(argument) for argument in arguments])
    finally:
        for number, handler in zip(signals, handlers, strict=True):
            signal.signal(number, handler)


def flip_a_bit(store: Store, path: str) -> None:
    data = bytearray(store.read(path))
    data[len(data) // 2] ^= 1
    store.write(path, bytes(data))
