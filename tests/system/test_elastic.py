"""Training that goes on while workers and nodes come and go: real Ray nodes, as process trees that are killed."""

from __future__ import annotations

import json
import os
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
    settings = ENDLESS | {"images": 25_600, "workers": {"min": 1, "max": 2}}
    with Training(store_in(tmp_path), settings, {}) as training:
        training.until(lambda: len(training.checkpoints()) >= 2, "second checkpoint")
        os.kill(pid_of_rank_0(training.store, 1), signal.SIGKILL)
        again = training.until(lambda: bool(training.positions(2)), "checkpoint after the restart")
        status, said = training.ended()
    print(f"a killed worker: {again:.1f} s until the next checkpoint")
    assert status == 0
    before, after = training.positions(1), training.positions(2)
    assert after[0] == before[-1] + EVERY  # the second attempt began at the last checkpoint of the first
    assert [*before, *after] == list(range(EVERY, 25_601, EVERY))
    assert training.rows() == list(range(640, 25_601, 640))
    assert training.worlds() == [2]
    assert said == ["gan: worker 0 died", f"gan: training goes on with 2 workers from {before[-1]:,} images"]


def test_a_killed_node_is_survived_and_its_return_is_used(tmp_path: Path, nodes: Nodes) -> None:
    nodes.add()
    lost = nodes.add()
    settings = ENDLESS | {"workers": {"min": 1, "max": 2}}
    with Training(store_in(tmp_path), settings, on(nodes), nodes.environment()) as training:
        training.until(lambda: training.worlds() == [2] and len(training.checkpoints()) >= 2, "second checkpoint")
        nodes.kill(lost)
        shrunk = training.until(lambda: training.worlds() == [2, 1], "checkpoint of one worker")
        before, after = training.positions(1), training.positions(2)
        assert after[0] == before[-1] + EVERY
        nodes.add()
        grown = training.until(lambda: training.worlds() == [2, 1, 2], "checkpoint of two workers again")
        assert training.process is not None
        training.process.send_signal(signal.SIGTERM)
        status, said = training.ended()
    print(f"a killed node: {shrunk:.1f} s until the next checkpoint, {grown:.1f} s from its return until one with it")
    print(*said, sep="\n")
    attempts = [facts["attempt"] for facts in training.checkpoints()]
    assert sorted(attempts) == attempts  # no attempt went back behind another's checkpoint
    positions = [facts["position"] for facts in training.checkpoints()]
    assert sorted(set(positions)) == positions
    assert max(b - a for a, b in zip(positions, positions[1:], strict=False)) <= EVERY
    saved = training.positions(max(attempts) - 1)[-1]  # made for the growth, wherever the run was then
    assert f"gan: training goes on with 2 workers from {saved:,} images" in said
    assert status == 143
    assert said[-1] == f"gan: stopped by SIGTERM at {positions[-1]:,} of {10**9:,} images; the same command goes on " \
                       "from the newest checkpoint"


def test_a_notice_of_preemption_makes_a_checkpoint_and_the_node_s_end_loses_nothing_before_it(
    tmp_path: Path, nodes: Nodes
) -> None:
    nodes.add()
    lost = nodes.add()
    settings = ENDLESS | {"workers": {"min": 1, "max": 2}, "checkpoint_every": 10**8}  # none on its own
    with Training(store_in(tmp_path), settings, on(nodes), nodes.environment()) as training:
        training.until(lambda: bool(training.store.names(f"{RUN}/attempts")), "start")
        nodes.announce_preemption(nodes.ids()[1], 600)
        noticed = training.until(lambda: bool(training.checkpoints()), "checkpoint for the notice")
        (saved,) = training.positions(1)
        nodes.kill(lost)
        training.until(lambda: len(training.store.names(f"{RUN}/attempts")) == 2, "restart")
        assert training.process is not None
        training.process.send_signal(signal.SIGTERM)
        status, said = training.ended()
    print(f"a notice of preemption: {noticed:.1f} s until its checkpoint is whole")
    print(*said, sep="\n")
    assert said[0].startswith("gan: the node of worker ")
    assert said[0].endswith(" s: a checkpoint is made now")
    assert f"gan: training goes on with 1 worker from {saved:,} images" in said
    assert status == 143
    assert training.worlds() == [2, 1]
    assert training.positions(1) == [saved]  # one notice, one checkpoint
