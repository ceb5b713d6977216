"""A worker that all others wait for is named, and nobody else."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from gan_core.config import Experiment, experiment_from
from gan_core.store import Store
from gan_core.train import slow
from gan_core.train.report import Command, Waiting
from gan_core.train.slow import SlowWorkers
from tests.train.runs import Scripted, train
from tests.workers import run_workers

BATCH, STEPS_A_WINDOW = 64, 20


class Told:
    """A judge that is told of windows of 20 steps, each as long as its slowest worker's own work and `apart`."""

    def __init__(self, hosts: int, shares: list[int] | None = None, apart: float = 0.0) -> None:
        self.now, self.position, self.apart = 0.0, 0, apart
        names = [f"host{number}" for number in range(hosts)]
        self.judge = SlowWorkers(names, shares or [BATCH // hosts] * hosts, BATCH, clock=lambda: self.now)
        self.judge.hear([(9.0, 1)] * hosts, 0)  # the first row: what came before it is not known

    def windows(self, count: int, *own: float, counted: int = STEPS_A_WINDOW) -> list[str]:
        """own: seconds a step."""
        said = []
        for _ in range(count):
            self.now += STEPS_A_WINDOW * (max(own) + self.apart)
            self.position += STEPS_A_WINDOW * BATCH
            said += self.judge.hear([(seconds * counted, counted) for seconds in own], self.position)
        return said


def test_a_slow_worker_of_two_is_named_with_its_host_once_and_again_when_it_recovers() -> None:
    told = Told(2)
    assert told.windows(2, 0.5, 0.5) == []
    (said,) = told.windows(5, 0.5, 1.55)
    assert said == ("worker 1 on host1 takes 3.1 x as long for a step as the other: 1.55 s of its own work against "
                    "0.5 s, and all wait for it; see what else runs on host1, and whether it is throttled")
    assert told.judge.now == [{"rank": 1, "host": "host1", "times": 3.1}]
    assert told.windows(1, 0.5, 0.5) == []
    assert told.windows(4, 0.5, 0.5) == ["worker 1 on host1 is as fast as the other again, after 113 s"]
    assert told.judge.now == []
    assert told.judge.facts == {"slow_workers": [
        {"rank": 1, "host": "host1", "spells": 1, "seconds": 113, "times": 3.1}]}


def test_of_many_the_one_beyond_the_median_is_named() -> None:
    told = Told(4)
    (said,) = told.windows(6, 0.5, 0.6, 0.4, 1.0)
    assert said.startswith("worker 3 on host3 takes 2.0 x as long for a step as the others: ")


@pytest.mark.parametrize("own", [(0.5, 0.5), (0.5, 0.7), (0.7, 0.5), (0.5, 0.4, 0.6)])
def test_workers_that_differ_little_are_not_named(own: tuple[float, ...]) -> None:
    told = Told(len(own))
    assert (told.windows(10, *own), told.judge.facts) == ([], {})


def test_the_first_window_says_nothing_nor_does_one_alone() -> None:
    told = Told(2)
    assert told.windows(1, 0.5, 9.0) == []  # it compiles, say
    assert told.windows(3, 0.5, 0.5) == []
    assert told.windows(1, 0.5, 2.0) == []
    assert told.windows(3, 0.5, 0.5) == []


def test_a_worker_whose_steps_were_not_measured_is_neither_named_nor_compared_with() -> None:
    """Rank 0 while it writes checkpoints."""
    told = Told(2)
    told.windows(2, 0.5, 0.5)
    assert told.windows(4, 5.0, 0.5, counted=0) == []


def test_what_is_slow_and_costs_next_to_nothing_is_not_named() -> None:
    """Where a step is an exchange of a second, ten milliseconds of work or twenty are alike."""
    assert Told(2, apart=1.0).windows(6, 0.01, 0.02) == []


def test_a_worker_with_more_rows_is_not_blamed_for_them() -> None:
    assert Told(2, [22, 42]).windows(6, 0.5, 0.95) == []


def test_a_roll_back_begins_a_new_window() -> None:
    told = Told(2)
    told.windows(3, 0.5, 0.5)
    told.now, told.position = told.now + 100, 64
    assert told.judge.hear([(0.5, 20), (90.0, 20)], 64) == []
    assert told.windows(3, 0.5, 0.5) == []


class Bursts:
    """Stops another process for most of the time, as a host that is throttled does."""

    def __init__(self, pid: int) -> None:
        self._pid, self._over = pid, threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._over.is_set():
            os.kill(self._pid, signal.SIGSTOP)
            time.sleep(0.1)
            os.kill(self._pid, signal.SIGCONT)
            time.sleep(0.03)

    def end(self) -> None:
        self._over.set()
        self._thread.join()


class Watching(Scripted):
    """Rank 0's: has the other worker stopped in bursts until it is named, and ends the run when it is well again."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.bursts, self.until = Bursts(pid), time.monotonic() + 60

    def note(self, text: str) -> None:
        super().note(text)
        self.bursts.end()

    def command(self) -> Command:
        over = len(self.notes) >= 2 or time.monotonic() > self.until
        if over:
            self.bursts.end()
        return Command.STOP if over else Command.CONTINUE


def work(rank: int, settings: dict[str, Any], digits: str, folder: str) -> None:
    torch.set_num_threads(1)
    slow.WINDOW_S = 0.4
    experiment, pid = experiment_from(settings), Path(folder, f"pid-{rank}")
    pid.write_text(str(os.getpid()))
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2,
                            timeout=timedelta(seconds=60))
    dist.barrier()
    reporter = Watching(int(Path(folder, "pid-1").read_text())) if rank == 0 else Scripted()
    train(Store(f"{folder}/watched"), Store(digits), experiment, reporter)
    if rank == 0:
        Path(folder, "notes").write_text("\n".join(reporter.notes))
        waited_for = [event.ranks for event in reporter.events if isinstance(event, Waiting)]
        Path(folder, "waited-for").write_text(repr(waited_for[:2]))
    dist.destroy_process_group()


@pytest.mark.slow
def test_a_worker_stopped_in_bursts_is_named_and_again_when_it_is_well(
    experiment: Callable[..., Experiment], digits_store: Store, tmp_path: Path
) -> None:
    settings = experiment(train={"images": 10**9, "batch": BATCH, "report_every": BATCH, "workers": 2,
                                      "checkpoint_every": 10**9, "sample_every": 10**9}).as_json()
    run_workers(work, (settings, digits_store.url, str(tmp_path)), 2)
    named, well = (tmp_path / "notes").read_text().splitlines()
    assert named.startswith("worker 1 on ")
    assert " x as long for a step as the other: " in named
    assert well.startswith("worker 1 on ")
    assert " is as fast as the other again, after " in well
    assert (tmp_path / "waited-for").read_text() == "[(1,), ()]"
