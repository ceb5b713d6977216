"""A training run in a process of its own, on a cluster or on a Ray of its own, watched through its store.

    python -m tests.system.training STORE EXPERIMENT PROFILE      both as JSON
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_core.config import experiment_from
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.errors import GanError
from gan_core.manifest import read_manifest
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from pipelines.cluster import ray_for_a_while, start_ray
from pipelines.profile import Profile
from tests.conftest import TINY
from tests.pipeline import kill_tree

RUN, SHARDS = "runs/r", "shards/digits"
WAIT_S = 180.0


@dataclass
class Training:
    """One process that trains the tiny experiment with these settings of `train`.

    through: a command that runs others, as on another host.
    """

    store: Store
    settings: dict[str, Any]
    profile: dict[str, Any]
    environment: dict[str, str] | None = None
    through: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Training:
        if read_manifest(self.store, SHARDS) is None:
            write_shards(Digits(), self.store, SHARDS, shard_examples=4096, key="digits")
        experiment = TINY | {"train": {"batch": 64, "keep_checkpoints": 10_000, **self.settings}}
        command = [*self.through, sys.executable, "-m", "tests.system.training", self.store.url, json.dumps(experiment),
                   json.dumps(self.profile)]
        self.process = subprocess.Popen(command, env=self.environment or dict(os.environ), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE)
        return self

    def __exit__(self, *error: object) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        kill_tree(self.process)
        self.process.stderr.close()

    def ended(self) -> tuple[int, list[str]]:
        """Its exit status and what it said, once it has ended."""
        assert self.process is not None
        said = self.process.communicate(timeout=WAIT_S)[1].decode()
        return self.process.returncode, said.splitlines()

    def stopped(self) -> tuple[int, list[str]]:
        """The same, after SIGTERM."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def checkpoints(self) -> list[dict[str, Any]]:
        """The facts of all whole checkpoints, oldest first: position, attempt, worlds."""
        names = RunPlace(self.store, RUN, "k").checkpoints()
        manifests = (read_manifest(self.store, f"{RUN}/checkpoints/{name}") for name in names)
        return [manifest.facts for manifest in manifests if manifest is not None]

    def positions(self, attempt: int) -> list[int]:
        """Where one attempt made checkpoints."""
        return [facts["position"] for facts in self.checkpoints() if facts["attempt"] == attempt]

    def worlds(self) -> list[int]:
        """The numbers of workers so far, in order, as the newest checkpoint lists them."""
        checkpoints = self.checkpoints()
        return list(checkpoints[-1]["worlds"]) if checkpoints else []

    def until(self, holds: Callable[[], bool], what: str) -> float:
        """Waits until it holds, and says for how many seconds it did."""
        begun = time.monotonic()
        while not holds():
            assert self.process is not None
            assert self.process.poll() is None, f"training ended before {what}: {self.ended()}"
            assert time.monotonic() - begun < WAIT_S, f"no {what} in {WAIT_S:.0f} s"
            time.sleep(0.1)
        return time.monotonic() - begun

    def rows(self) -> list[int]:
        """The positions of the curves' rows."""
        lines = RunPlace(self.store, RUN, "k").curves().splitlines()
        return [int(json.loads(line)["position"]) for line in lines]


def main(store: str, experiment: str, profile: str) -> int:
    settings, place = experiment_from(json.loads(experiment)), Profile.model_validate_json(profile)
    try:
        with ray_for_a_while():
            start_ray(place, settings.train.most_workers)
            from pipelines.on_ray import train_on_ray  # Ray reads its environment as it is imported

            train_on_ray(settings, place, RunPlace(Store(store), RUN, "k"), SHARDS, ())
    except GanError as error:
        print(f"gan: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))


def store_in(folder: Path) -> Store:
    """A store of the test's own."""
    return Store(folder / "store")
