"""Two attempts at one run, in two processes: the older is stopped in the middle of a write, and goes on too late."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_core.config import Experiment, experiment_from
from gan_core.errors import Superseded
from gan_core.manifest import damaged_files
from gan_core.store import Store
from gan_core.train import uploads
from tests.train.runs import RUN, contents, finished, train
from tests.workers import run_workers

pytestmark = pytest.mark.slow

OLD, WAIT_S = 0, 60.0
WRITES = {
    "curves": "metrics/000000000256.jsonl",
    "picture": "samples/000000000256.png",
    "progress": "progress.json",
    "weights": "generator.safetensors",
    "manifest": "runs/r/MANIFEST.json",
}


def stopped_before(write: str, here: Path) -> None:
    """This process stops once, as its host may, before the first write to a path with this end."""
    def stop(path: str) -> None:
        if path.endswith(write) and not here.is_symlink():
            here.symlink_to(str(os.getpid()))  # at once, with what it says
            os.kill(os.getpid(), signal.SIGSTOP)
            wait_for(here.with_suffix(".on"))  # the kernel may stop this thread a moment later than another

    whole, file, state = Store.write, Store.put, uploads.save_state

    def write_(self: Store, path: str, data: bytes) -> None:
        stop(path)
        whole(self, path, data)

    def put(self: Store, local: Path, path: str) -> None:
        stop(path)
        file(self, local, path)

    def save_state(snapshot: dict[str, Any], path: Path) -> None:
        state(snapshot, path)
        stop("state" if snapshot["position"] == 256 else "")

    Store.write, Store.put, uploads.save_state = write_, put, save_state  # type: ignore[method-assign]


def work(rank: int, settings: dict[str, Any], digits: str, folder: str, writes: dict[str, str]) -> None:
    torch.set_num_threads(1)
    experiment = experiment_from(settings)
    for name, write in writes.items():
        store, here, over = Store(f"{folder}/{name}"), Path(folder, f"{name}.stopped"), Path(folder, f"{name}.over")
        if rank == OLD:
            stopped_before(write, here)
            with pytest.raises(Superseded, match=r"attempt 1 of .* gives way to attempt 2"):
                train(store, Store(digits), experiment)
            over.touch()
            continue
        wait_for(here)
        train(store, Store(digits), experiment)
        then = kept(store, name)
        here.with_suffix(".on").touch()
        os.kill(int(here.readlink().name), signal.SIGCONT)
        wait_for(over)
        now = kept(store, name)
        changed = {path for path in then.keys() | now.keys() if then.get(path) != now.get(path)}
        assert not changed, f"stopped before {name}: {changed}"
        assert damaged_files(store, RUN, finished(store)) == []
        assert finished(store).facts["attempts"] == 2


def kept(store: Store, name: str) -> dict[str, bytes]:
    """What is there of the run; its newest row only where the older attempt was stopped before writing that.

    Not what is written aside: another thread of the older attempt may have been stopped at it.
    """
    but = () if name == "progress" else ("progress.json",)  # another thread's, which may be at it
    return {path: data for path, data in contents(store).items()
            if path.startswith(RUN) and not path.endswith(but) and not Path(path).name.startswith(".")}


def wait_for(file: Path) -> None:
    until = time.monotonic() + WAIT_S
    while not file.is_symlink() and not file.exists():
        assert time.monotonic() < until, f"no {file.name}"
        time.sleep(0.02)


def test_an_attempt_that_was_stopped_before_any_of_its_writes_changes_nothing_of_the_newer(
    experiment: Callable[..., Experiment], digits_store: Store, tmp_path: Path
) -> None:
    settings = experiment(train={"images": 384, "batch": 64, "checkpoint_every": 128, "report_every": 64,
                                 "sample_every": 256}).as_json()
    run_workers(work, (settings, digits_store.url, str(tmp_path), WRITES | {"state": "state"}), 2)
