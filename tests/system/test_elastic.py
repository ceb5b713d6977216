"""Training that goes on while workers and nodes come and go: real Ray nodes, as process trees that are killed."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gan_core.store import Store
from tests.system.nodes import Nodes
from tests.system.training import RUN, Training, store_in

pytestmark = pytest.mark.system
EVERY = 1280  # images between checkpoints
ENDLESS = {"images": 10**9, "checkpoint_every": EVERY, "report_every": 640}


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    cluster = Nodes()
    yield cluster
    cluster.end()


def on(cluster: Nodes, **ray: Any) -> dict[str, Any]:
    """The profile of a cluster."""
    return {"ray": {"address": cluster.address, "grow_check_s": 5, "preemption_poll_s": 1, **ray}}


def pid_of_rank_0(store: Store, attempt: int) -> int:
    return int(json.loads(store.read(f"{RUN}/attempts/{attempt:04d}.json"))["pid"])


def test_a_killed_worker_is_survived_and_costs_at_most_one_interval(tmp_path: Path) -> None:
    settings = ENDLESS | {"images": 12_800, "workers": {"min": 1, "max": 2}}
    with Training(store_in(tmp_path), settings, {}) as training:
        training.until(lambda: len(training.checkpoints()) >= 2, "second checkpoint")
        os.kill(pid_of_rank_0(training.store, 1), signal.SIGKILL)
        again = training.until(lambda: bool(training.positions(2)), "checkpoint after the restart")
        status, said = training.ended()
    print(f"a killed worker: {again:.1f} s until the next checkpoint")
    assert status == 0
    before, after = training.positions(1), training.positions(2)
    assert after[0] == before[-1] + EVERY  # the second attempt began at the last checkpoint of the first
    assert [*before, *after] == list(range(EVERY, 12_801, EVERY))
    assert training.rows() == list(range(640, 12_801, 640))
    assert training.worlds() == [2]
    assert said == ["gan: worker 0 died", f"gan: training goes on with 2 workers from {before[-1]:,} images"]


def test_workers_that_die_are_started_again_while_it_gets_further_and_given_up_when_it_does_not(tmp_path: Path) -> None:
    settings = ENDLESS | {"workers": 2, "checkpoint_every": 12_800}
    with Training(store_in(tmp_path), settings, {"ray": {"worker_retries": 0}}) as training:
        training.until(lambda: bool(training.checkpoints()), "checkpoint")
        for attempt in (1, 2):
            started = f"{attempt:04d}.json"
            training.until(lambda name=started: name in training.store.names(f"{RUN}/attempts"), "start")
            os.kill(pid_of_rank_0(training.store, attempt), signal.SIGKILL)
        status, said = training.ended()
    (saved, *_), again = training.positions(1), training.positions(2)
    assert again == []
    assert status == 1
    assert said == [
        "gan: worker 0 died",
        f"gan: training goes on with 2 workers from {saved:,} images",
        "gan: worker 0 died",
        "gan: training failed more than 0 times without a new checkpoint, at last because worker 0 died; Ray keeps "
        "the workers' logs, on this machine in /tmp/ray/session_latest/logs, and the kernel's has what was killed for "
        "want of memory; the same command goes on from the newest checkpoint",
    ]


def test_a_killed_node_is_survived_by_those_that_are_left(tmp_path: Path, nodes: Nodes) -> None:
    nodes.add()
    lost = nodes.add()
    settings = ENDLESS | {"workers": {"min": 1, "max": 2}}
    with Training(store_in(tmp_path), settings, on(nodes), nodes.environment()) as training:
        training.until(lambda: len(training.checkpoints()) >= 2, "second checkpoint")
        nodes.kill(lost)
        again = training.until(lambda: bool(training.positions(2)), "checkpoint after the restart")
        status, said = training.stopped()
    print(f"a killed node: {again:.1f} s until the next checkpoint", *said, sep="\n")
    before, after = training.positions(1), training.positions(2)
    assert after[0] == before[-1] + EVERY
    assert training.worlds() == [2, 1]
    assert re.fullmatch(r"gan: worker (1 died|[01] lost contact with another worker)", said[0])
    assert said[1] == f"gan: training goes on with 1 worker from {before[-1]:,} images"
    assert said[2:] == [
        "gan: SIGTERM: stopping after the next step, with a checkpoint; a second one ends it at once",
        f"gan: stopped by SIGTERM at {after[-1]:,} of {10**9:,} images; the same command goes on from the newest "
        "checkpoint",
    ]
    assert status == 143


def test_a_notice_of_preemption_and_room_for_more_workers_each_make_a_checkpoint(tmp_path: Path, nodes: Nodes) -> None:
    """Nothing else makes one here: what is kept is kept because of them."""
    nodes.add()
    lost = nodes.add()
    settings = ENDLESS | {"workers": {"min": 1, "max": 2}, "checkpoint_every": 10**8}
    with Training(store_in(tmp_path), settings, on(nodes), nodes.environment()) as training:
        training.until(lambda: bool(training.store.names(f"{RUN}/attempts")), "start")
        nodes.announce_preemption(nodes.ids()[1], 600)
        noticed = training.until(lambda: bool(training.checkpoints()), "checkpoint for the notice")
        nodes.kill(lost)
        training.until(lambda: len(training.store.names(f"{RUN}/attempts")) == 2, "restart")
        nodes.add()
        grown = training.until(lambda: len(training.store.names(f"{RUN}/attempts")) == 3, "growth")
        status, said = training.stopped()
    print(f"a notice: {noticed:.1f} s until its checkpoint is whole; a node's return: {grown:.1f} s until it is used",
          *said, sep="\n")
    (at_notice,), (at_growth,) = training.positions(1), training.positions(2)
    assert at_notice < at_growth
    assert re.fullmatch(r"gan: the node of worker [01] will be taken away in \d+ s: a checkpoint is made now", said[0])
    assert f"gan: training goes on with 1 worker from {at_notice:,} images" in said
    assert f"gan: training goes on with 2 workers from {at_growth:,} images" in said
    assert training.worlds() == [2, 1, 2]
    assert status == 143
