"""Four hosts, a store, and training runs on them that something happens to: what is done to them is in faults.py.

Each run must end with the bits of one that nothing happened to.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace, position_of
from tests.pipeline import kill_tree
from tests.system.hosts import SCRIPTS, Hosts, bucket_of
from tests.system.training import RUN, Training, store_in

HEAD, TRAINERS = "host0", ("host1", "host2", "host3")
EVERY, LENGTH = 1280, 12  # images between checkpoints, and checkpoints of a run
SETTINGS = {"images": EVERY * LENGTH, "checkpoint_every": EVERY, "report_every": 320}
GONE_S = 60.0  # in which a cluster has noticed
STATES = ("networks", "averages", "optimizers")  # of a checkpoint: what must be equal bit for bit


@dataclass(frozen=True)
class Outcome:
    """What a fault did.  lost: images trained twice.  seconds: from the fault to the next checkpoint or, where no
    checkpoint is what came back, to that.
    """

    lost: int
    seconds: float


@dataclass
class Lab:
    """Hosts with Ray on all of them, and a folder for what runs on none.  Two workers train, and a third host is free.

    Every method raises AssertionError where training did not end as it must.
    """

    hosts: Hosts
    folder: Path
    _whole: dict[int, dict[str, Any]] = field(default_factory=dict)

    @staticmethod
    @contextmanager
    def on(hosts: Hosts, folder: Path) -> Iterator[Lab]:
        """With Ray begun on all hosts."""
        hosts.start_ray(HEAD, *TRAINERS)
        yield Lab(hosts, folder)

    @contextmanager
    def training(self, workers: int = 2) -> Iterator[Training]:
        """A run whose driver is on the head's host, at its third checkpoint."""
        self.mend()
        with bucket_of(self.hosts) as url, self.command(Store(url), workers) as training:
            training.until(lambda: len(training.checkpoints()) >= 2, "second checkpoint")
            yield training

    def command(self, store: Store, workers: Any = 2, **train: Any) -> Training:
        """The command that trains there, with these settings of `train` instead of the usual ones."""
        profile = {"ray": {"address": self.hosts.address, "grow_check_s": 2, "start_timeout_s": 30}}
        settings = {**SETTINGS, "workers": workers, **train}
        return Training(store, settings, profile, self.hosts.names | self.hosts.environment(),
                        tuple(self.hosts.command(HEAD)))

    def mend(self) -> None:
        """Every host plugged in and counted by the cluster; the whole cluster anew where its head is gone."""
        for host in (HEAD, *TRAINERS):
            self.hosts.heal(host)
            self.hosts.join(host)
        alive = self.hosts.alive()
        if self.hosts.ip(HEAD) not in alive:
            alive = []
        lost = [host for host in (HEAD, *TRAINERS) if self.hosts.ip(host) not in alive]
        for host in lost:
            self.hosts.off(host)
        if lost:
            self.hosts.start_ray(*lost)

    def leave(self, host: str) -> None:
        """A host that the cluster has not, and knows so."""
        self.hosts.off(host)
        deadline = time.monotonic() + GONE_S
        while self.hosts.ip(host) in self.hosts.alive():
            assert time.monotonic() < deadline, f"{host} is counted still"

    def came_back(self, training: Training, at: int, begun: float, attempt: int = 2) -> Outcome:
        """Waits for the first checkpoint of that attempt.  at: where training was.  begun: when the fault began."""
        training.until(lambda: bool(training.positions(attempt)), "checkpoint after the fault")
        return Outcome(max(0, at - (training.positions(attempt)[0] - EVERY)), time.monotonic() - begun)

    def ended_well(self, training: Training, workers: int = 2) -> list[str]:
        """What it said, after its end with the bits of a run that nothing happened to."""
        status, said = training.ended()
        assert status == 0, said
        self.is_whole(training, workers)
        return said

    def is_whole(self, training: Training, workers: int = 2) -> None:
        """Whether the run in the store is finished, with every row, and bit for bit what it must be."""
        assert training.rows() == list(range(320, SETTINGS["images"] + 1, 320))
        assert _equal(state(training.store), self.undisturbed(workers)), "not the bits of the undisturbed run"

    def undisturbed(self, workers: int) -> dict[str, Any]:
        """The last state of a run on one machine that nothing happened to."""
        if workers not in self._whole:
            store = store_in(self.folder / f"undisturbed-{workers}")
            with Training(store, {**SETTINGS, "workers": workers}, {}) as training:
                status, said = training.ended()
                assert status == 0, said
            self._whole[workers] = state(store)
        return self._whole[workers]

    def lead(self, training: Training, attempt: int = 1) -> tuple[str, int]:
        """Host and process of the worker that writes checkpoints."""
        told = json.loads(training.store.read(f"{RUN}/attempts/{attempt:04d}.json"))
        return told["host"], told["pid"]

    def store_down(self, seconds: float) -> None:
        """The store takes requests and answers none for so long."""
        script = SCRIPTS / "s3.sh"
        subprocess.run([script, "freeze"], env=self.hosts.environment(), check=True, timeout=30)
        try:
            time.sleep(seconds)
        finally:
            subprocess.run([script, "thaw"], env=self.hosts.environment(), check=True, timeout=30)


def progress(training: Training) -> dict[str, Any]:
    """The newest word on it."""
    told: dict[str, Any] = json.loads(training.store.read(f"{RUN}/progress.json"))
    return told


def position(training: Training) -> int:
    """Where training is, in images."""
    return int(progress(training)["row"]["position"])


def state(store: Store) -> dict[str, Any]:
    """What the last checkpoint holds, but for how it came about."""
    place = RunPlace(store, RUN, "k")
    (name, held) = place.load_newest() or ("", {})
    assert position_of(name) == SETTINGS["images"], f"the newest checkpoint is {name}"
    return {part: held[part] for part in STATES}


def kill(training: Training) -> None:
    """SIGKILL to the command."""
    assert training.process is not None
    kill_tree(training.process)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
