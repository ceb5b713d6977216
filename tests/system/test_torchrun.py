"""Signals to training under torchrun: whichever process gets one, all stop at one position, after a checkpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gan_core.train.signals import ECHO_S
from tests.conftest import TINY
from tests.pipeline import kill_tree

pytestmark = pytest.mark.system
TORCHRUN = str(Path(sys.executable).with_name("torchrun"))
WAIT_S = 120.0


class Run:
    """Two processes that train for ever, in a process group of their own as a terminal's foreground job has."""

    def __init__(self, folder: Path) -> None:
        cadence = {"images": 10**9, "batch": 64, "report_every": 640, "checkpoint_every": 10**8, "workers": 2}
        (folder / "tiny.yaml").write_text(json.dumps(TINY | {"train": cadence}))
        self.runs = folder / "store" / "runs"
        self.process = subprocess.Popen(
            [TORCHRUN, "--nproc-per-node", "2", "-m", "gan_core.train", str(folder / "tiny.yaml"), "--store",
             str(folder / "store")],
            env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )

    def read_a_row(self) -> None:
        """Until it trains."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if "images" in line:
                return
        raise AssertionError("it ended before it trained")

    def workers(self) -> list[psutil.Process]:
        """The process of each rank."""
        found = psutil.Process(self.process.pid).children()
        return sorted((p for p in found if "gan_core.train" in p.cmdline()), key=lambda p: int(p.environ()["RANK"]))

    def rest(self) -> str:
        return self.process.communicate(timeout=WAIT_S)[1]

    def checkpoints(self) -> list[Path]:
        return list(self.runs.glob("*/checkpoints/*/MANIFEST.json"))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    started = Run(tmp_path)
    started.read_a_row()
    yield started
    kill_tree(started.process)  # type: ignore[arg-type]  # text or bytes, it is the same to a signal


def test_sigterm_of_a_rank_that_is_not_the_first_stops_all_after_a_checkpoint(run: Run) -> None:
    run.workers()[1].send_signal(signal.SIGTERM)
    assert "stopped by a signal after a checkpoint; the same command goes on" in run.rest()
    assert len(run.checkpoints()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_torchrun_stops_all_after_a_checkpoint(run: Run, number: signal.Signals) -> None:
    run.process.send_signal(number)
    assert "stopped by a signal after a checkpoint; the same command goes on" in run.rest()
    assert len(run.checkpoints()) == 1


def test_one_ctrl_c_on_a_terminal_is_one_though_torchrun_passes_it_on(run: Run) -> None:
    first, second = run.workers()
    second.suspend()  # a step that takes a while, in which torchrun passes it on
    for process in (first, second, run.process):
        process.send_signal(signal.SIGINT)
    time.sleep(1.5)
    second.resume()
    assert "stopped by a signal after a checkpoint; the same command goes on" in run.rest()
    assert len(run.checkpoints()) == 1


def test_a_second_ctrl_c_ends_it_at_once(run: Run) -> None:
    first, second = run.workers()
    second.suspend()  # a step that does not end: the first waits for its gradients
    first.send_signal(signal.SIGINT)
    time.sleep(ECHO_S + 0.5)
    assert first.is_running()
    first.send_signal(signal.SIGINT)
    psutil.wait_procs([first], timeout=10)
    assert not first.is_running() or first.status() == psutil.STATUS_ZOMBIE
    second.resume()
    run.rest()
    assert run.checkpoints() == []
