"""A save that is killed at any single change leaves whole checkpoints only, and a run that goes on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_core.errors import StoreError
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from gan_core.train.retention import Retention
from gan_core.train.tensorboard import events
from gan_core.train.uploads import Writer
from tests.s3_server import S3Server, no_fault
from tests.train.saves import Heard, place_in, row, save


def assert_goes_on(place: RunPlace) -> None:
    """After a kill anywhere: whole checkpoints only, and the next attempt ends as if nothing had happened."""
    found = place.load_newest()
    assert found is not None
    assert found[1]["position"] in (256, 384)
    for name in place.whole():
        saved = place.load(name)
        assert saved is not None
        assert torch.equal(saved["networks"]["generator"]["w"], torch.full((1000,), float(saved["position"])))
    place.drop_curves_after(found[1]["position"])
    writer = Writer(place, place.claim_attempt(), Retention(1), Heard())
    for position in (384, 512):
        if position > found[1]["position"]:
            save(writer, position)
    writer.wait()
    writer.close()
    assert {int(name[:12]) for name in place.checkpoints()} == {128, 512}  # 128 is the best
    assert [json.loads(line)["position"] for line in place.curves().splitlines()] == [*range(64, 576, 64)]


def begun(store: Store) -> RunPlace:
    """A run with two checkpoints, of which the next save pushes out one."""
    place = place_in(store)
    writer = Writer(place, place.claim_attempt(), Retention(1), Heard())
    for position in (128, 256):
        save(writer, position)
    writer.wait()
    writer.close()
    return place


CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "shutil.rmtree"}


def die_at(change: int, root: str) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that ends the process before its nth change to the files below root, as SIGKILL would."""
    seen = count(1)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE
        if (writes or event in CHANGES) and str(arguments[0]).startswith(root) and next(seen) == change:
            os._exit(9)

    return hook


@pytest.mark.system
def test_a_kill_at_any_change_of_a_disk_leaves_whole_checkpoints_and_a_run_that_goes_on(tmp_path: Path) -> None:
    events([row(64)])  # imported before the fork
    for change in count(1):
        place = begun(Store(tmp_path / f"{change}"))
        pid = os.fork()
        if pid == 0:
            sys.addaudithook(die_at(change, str(tmp_path)))
            writer = Writer(place, 1, Retention(1), lambda text: None)
            save(writer, 384)
            writer.wait()
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) in (0, 9)
        assert_goes_on(place)
        if os.waitstatus_to_exitcode(status) == 0:
            break
    assert change > 10, "the hook saw hardly any change"


@pytest.mark.system
def test_a_kill_at_any_request_leaves_whole_checkpoints_and_a_run_that_goes_on(
    server: S3Server, remote: Store
) -> None:
    for request in count(1):
        place, seen = begun(remote), count(1)

        def dead(method: str, path: str, last: int = request, seen: Iterator[int] = seen) -> tuple[int, str] | None:
            """As a process that died before its nth change: nothing more arrives of it."""
            changes = method in ("PUT", "POST", "DELETE")
            return (403, "AccessDenied") if changes and next(seen) >= last else None

        server.fault = dead
        writer = Writer(place, 1, Retention(1), Heard())
        save(writer, 384)
        with suppress(StoreError):
            writer.wait()
        writer.close()
        server.fault = no_fault
        assert_goes_on(place)
        if next(seen) <= request:
            break
    assert request > 7
