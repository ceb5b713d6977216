"""Checkpoints on their way: through outages of the store, whole or absent, in order, and never more than two."""

from __future__ import annotations

import json
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_core.errors import StoreError, Superseded
from gan_core.manifest import MANIFEST
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace, save_state
from gan_core.train.patience import PatientStore
from gan_core.train.report import Trouble
from gan_core.train.retention import Retention, checkpoint_name
from gan_core.train.tensorboard import events
from gan_core.train.uploads import Writer
from tests.s3_server import S3Server, no_fault, s3_server

SECRET = "a-secret-that-must-not-travel"
KEEP = Retention(9)


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with s3_server("uploads", SECRET) as server:
        yield server


@pytest.fixture
def server(running: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where checkpoints on their way to S3 are staged
    monkeypatch.setattr("gan_core.train.patience.LONGEST_WAIT_S", 0.2)
    running.asked.clear()
    yield running
    running.fault = no_fault
    running.start()


@pytest.fixture(scope="module")
def remote(running: S3Server) -> Store:
    return Store("s3://uploads/x")


def place_in(store: Store) -> RunPlace:
    """A run of its own."""
    return RunPlace(store, f"runs/{uuid.uuid4().hex}", "k")


@pytest.fixture
def place(server: S3Server, remote: Store) -> RunPlace:
    return place_in(remote)


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


# Outages


def test_saves_during_an_outage_arrive_whole_in_order_and_once_when_it_is_over(
    server: S3Server, place: RunPlace, tmp_path: Path
) -> None:
    heard = Heard()
    writer = Writer(place, place.claim_attempt(), KEEP, heard)
    save(writer, 128)
    writer.wait()
    server.stop()
    assert save(writer, 10_240) == place.store.uri(place.prefix) + "/checkpoints/000000010240-0001"
    save(writer, 10_368)  # training goes on
    heard.wait_for("fails")
    server.start()
    writer.wait()
    writer.close()
    assert_whole(place, 128, 10_240, 10_368)
    puts = [path for method, path in server.asked if method == "PUT"]
    assert len(puts) == len(set(puts)), "something was written twice"
    order = [path for path in puts if path.endswith((MANIFEST, "state.pt", ".jsonl"))][-6:]
    assert [path.rpartition("/")[2] for path in order] == [
        "000000010240.jsonl", "state.pt", MANIFEST, "000000010368.jsonl", "state.pt", MANIFEST]
    first, last = heard.notes
    assert first.startswith('upload of checkpoint 10,240 fails: EndpointConnectionError: Could not connect to the ')
    assert first.endswith("; trying again for up to 30 minutes")
    assert last.startswith("upload of checkpoint 10,240 succeeded after ")
    assert last.endswith(" tries")
    assert not [note for note in heard.notes if SECRET in note or "AKIA" in note]
    assert not list(tmp_path.glob("gan-pipelines-*/*"))


def test_a_half_uploaded_checkpoint_is_not_there_and_is_completed(server: S3Server, place: RunPlace) -> None:
    heard = Heard()
    writer = Writer(place, place.claim_attempt(), KEEP, heard)
    save(writer, 128)
    writer.wait()
    server.fault = lambda method, path: (503, "") if method == "PUT" and path.endswith(MANIFEST) else None
    save(writer, 256)
    heard.wait_for("upload of checkpoint 256 fails")
    assert place.store.exists(f"{place.prefix}/checkpoints/000000000256-0001/state.pt")
    newest = place.load_newest()
    assert newest is not None
    assert newest[0] == "000000000128-0001"
    server.fault = no_fault
    writer.wait()
    writer.close()
    assert_whole(place, 128, 256)
    puts = [path for method, path in server.asked if method == "PUT" and path.endswith("256-0001/state.pt")]
    assert len(puts) == 1, "what was up was uploaded again"


def test_an_outage_without_end_stops_the_run_with_advice_and_the_next_attempt_goes_on(
    server: S3Server, place: RunPlace
) -> None:
    heard = Heard()
    writer = Writer(place, place.claim_attempt(), KEEP, heard, patience=0.5)
    save(writer, 128)
    writer.wait()
    server.stop()
    save(writer, 256)
    with pytest.raises(StoreError, match=r"^upload of checkpoint 256 failed for 0\.5 s: .*the store answers again"):
        writer.wait()
    server.start()
    with pytest.raises(StoreError, match="upload of checkpoint 256 failed"):
        save(writer, 384)  # nothing is written after a gap
    writer.close()
    assert_whole(place, 128)
    second = Writer(place, place.claim_attempt(), KEEP, heard)
    save(second, 256)
    second.wait()
    second.close()
    assert_whole(place, 128, 256)


def test_what_no_patience_mends_is_told_at_once(server: S3Server, place: RunPlace) -> None:
    heard = Heard()
    writer = Writer(place, place.claim_attempt(), KEEP, heard)
    server.fault = lambda method, path: (403, "AccessDenied") if method == "PUT" else None
    save(writer, 128)
    with pytest.raises(StoreError, match=r"000000000128-0001: could not be written: as the test wants it; .*put it"):
        writer.wait()
    writer.close()
    assert heard.notes == []
    server.fault = no_fault
    nowhere = Writer(place_in(Store("s3://no-such-bucket/x")), 1, KEEP, heard)
    save(nowhere, 128)
    with pytest.raises(StoreError, match="bucket does not exist"):
        nowhere.wait()
    nowhere.close()


def test_an_attempt_that_was_overtaken_during_an_outage_writes_nothing_more(server: S3Server, place: RunPlace) -> None:
    heard = Heard()
    writer = Writer(place, place.claim_attempt(), KEEP, heard)
    server.fault = lambda method, path: (503, "") if method == "PUT" and "checkpoints" in path else None
    save(writer, 128)
    heard.wait_for("fails")
    assert place.claim_attempt() == 2
    server.fault = no_fault
    with pytest.raises(Superseded, match=r"attempt 1 of .* gives way to attempt 2"):
        writer.wait()
    writer.close()
    assert place.checkpoints() == []


def test_a_run_that_ends_for_another_reason_does_not_wait_for_the_store(server: S3Server, place: RunPlace) -> None:
    heard = Heard()
    writer = Writer(place, place.claim_attempt(), KEEP, heard)
    server.stop()
    save(writer, 128)
    save(writer, 256)
    heard.wait_for("fails")
    writer.close()  # would take half an hour
    assert heard.notes[-1].startswith("upload of checkpoint 128 failed when training ended: ")


def test_a_restart_during_an_outage_waits_for_the_store(server: S3Server, place: RunPlace) -> None:
    heard = Heard()
    writer = Writer(place, 1, KEEP, heard)
    save(writer, 128)
    writer.wait()
    writer.close()
    server.stop()
    restarted = replace(place, note=heard)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append((restarted.load_newest(), restarted.claim_attempt())))
    thread.start()
    heard.wait_for("fails")
    server.start()
    thread.join()
    ((newest, attempt),) = found
    assert newest[0] == "000000000128-0001"
    assert attempt == 1
    assert heard.notes[0].startswith(f"access to {place.store.url} fails: ")
    assert heard.notes[0].endswith("trying again for up to 60 s")
    assert heard.notes[-1].startswith(f"access to {place.store.url} succeeded after ")


def test_a_store_that_stays_away_is_one_error_with_advice(server: S3Server, place: RunPlace) -> None:
    server.stop()
    with pytest.raises(StoreError, match=r"^access to s3://.* failed for 0\.1 s: .*run the same command"):
        PatientStore(place.store, seconds=0.1).names("x")
    assert replace(place, tries_again=False).patient is place.store


# Bounds


def test_a_third_save_waits_until_one_of_two_is_in_the_store_and_says_so(
    server: S3Server, place: RunPlace, tmp_path: Path
) -> None:
    heard = Heard()
    writer = Writer(place, place.claim_attempt(), KEEP, heard)
    server.fault = lambda method, path: (503, "") if method == "PUT" and "checkpoints" in path else None
    save(writer, 128)
    save(writer, 256)
    third = threading.Thread(target=save, args=(writer, 384))
    third.start()
    heard.wait_for("waits")
    heard.wait_for("fails")
    assert third.is_alive()
    assert len(list(tmp_path.glob("gan-pipelines-*/*"))) == 1, "more than one checkpoint is staged"
    server.fault = no_fault
    third.join()
    writer.wait()
    writer.close()
    assert_whole(place, 128, 256, 384)
    assert [note for note in heard.notes if "waits" in note] == [
        "training waits at 384 images: the 2 checkpoints before this one are not in the store yet"]


def test_a_full_local_disk_is_named_and_nothing_is_half_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left on device"):
        save_state(snapshot(128), Path("/dev/full"))
    save_state(snapshot(128), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True)["position"] == 128


# Telling


class Slow(Store):
    """Holds each write of progress until it is let go, and remembers them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.writing, self.go_on, self.told = threading.Semaphore(0), threading.Semaphore(0), list[Any]()

    def write(self, path: str, data: bytes) -> None:
        if path.endswith("progress.json"):
            self.writing.release()
            self.go_on.acquire()
            self.told.append(json.loads(data))
        super().write(path, data)


def test_of_what_is_told_the_newest_is_written_and_nobody_waits_for_it(tmp_path: Path) -> None:
    store = Slow(tmp_path)
    place = place_in(store)
    writer = Writer(place, 1, KEEP, Heard())
    writer.tell(row(64), [Trouble("mode collapse", "samples are alike", "lower the learning rate")])
    store.writing.acquire()  # the first is under way
    for position in range(128, 640, 64):
        writer.tell({"position": position, "loss/generator": float("nan")}, [])
    save(writer, 640)  # is not held up either
    writer.wait()
    store.go_on.release(9)
    writer.close()
    assert store.told == [
        {"row": row(64), "troubles": [{"name": "mode collapse", "what": "samples are alike",
                                       "advice": "lower the learning rate"}]},
        {"row": {"position": 576, "loss/generator": None}, "troubles": []},
    ]
    assert json.loads(store.read(f"{place.prefix}/progress.json")) == store.told[-1]


def test_telling_goes_on_after_an_outage_and_is_silent_about_it(server: S3Server, place: RunPlace) -> None:
    heard = Heard()
    writer = Writer(place, 1, KEEP, heard)
    server.stop()
    writer.tell(row(64), [])
    writer.close()
    server.start()
    assert place.store.names(place.prefix) == []
    again = Writer(place, 1, KEEP, heard)
    again.tell(row(128), [])
    again.close()
    assert json.loads(place.store.read(f"{place.prefix}/progress.json"))["row"] == row(128)
    assert heard.notes == []


def test_an_overtaken_attempt_tells_nothing(tmp_path: Path) -> None:
    place = place_in(Store(tmp_path))
    writer = Writer(place, place.claim_attempt(), KEEP, Heard())
    place.claim_attempt()
    writer.tell(row(64), [])
    writer.close()
    assert not place.store.exists(f"{place.prefix}/progress.json")


# Retention


REFUSED = "<DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"


def refuse_deletions(method: str, path: str) -> tuple[int, str] | None:
    """As S3 does: of many deleted at once, those refused are listed in an answer that all is well."""
    return {"POST": (200, REFUSED), "DELETE": (403, "AccessDenied")}.get(method)


def test_a_deletion_that_fails_is_told_once_stops_nothing_and_is_done_later(server: S3Server, place: RunPlace) -> None:
    heard = Heard()
    writer = Writer(place, place.claim_attempt(), Retention(2), heard)
    server.fault = refuse_deletions
    for position in (128, 256, 384, 512):
        save(writer, position)
    writer.wait()
    assert [int(name[:12]) for name in place.whole()] == [128, 256, 384, 512]
    told = [note for note in heard.notes if "deleted" in note]
    assert told == [f"{place.store.uri(place.prefix)}/checkpoints/000000000256-0001 could not be deleted: "
                    "as the test wants it; this is tried again after each checkpoint"]
    server.fault = no_fault
    save(writer, 640)
    writer.wait()
    writer.close()
    assert [int(name[:12]) for name in place.checkpoints()] == [128, 512, 640]  # 128 is the best


def test_a_half_deleted_checkpoint_is_not_there(server: S3Server, place: RunPlace) -> None:
    heard = Heard()
    writer = Writer(place, place.claim_attempt(), Retention(2), heard)
    for position in (128, 256, 384):
        save(writer, position)
    writer.wait()
    deletions = count(1)
    server.fault = lambda method, path: (503, "") if method == "POST" and next(deletions) == 2 else None
    save(writer, 512)
    writer.wait()
    server.fault = no_fault
    half = "000000000256-0001"
    assert half in place.checkpoints()
    assert half not in place.whole()
    assert place.load(half) is None
    save(writer, 640)
    writer.wait()
    writer.close()
    assert half not in place.checkpoints()


def test_the_best_of_each_checkpoint_that_may_be_resumed_stays(tmp_path: Path) -> None:
    place = place_in(Store(tmp_path))
    writer = Writer(place, 1, Retention(2), Heard())
    for position, best in ((100, 100), (200, 100), (300, 300), (400, 300), (500, 500)):
        writer.save(snapshot(position, best), [], {})
    writer.wait()
    # should 500 be damaged, the run goes on from 400, whose best is 300
    assert [int(name[:12]) for name in place.whole()] == [300, 400, 500]
    writer.save(snapshot(600, 500), [], {})
    writer.wait()
    writer.close()
    assert [int(name[:12]) for name in place.whole()] == [500, 600]


def test_the_newest_whole_checkpoint_of_a_position_is_found_by_it(tmp_path: Path) -> None:
    place = place_in(Store(tmp_path))
    for attempt in (1, 2):
        writer = Writer(place, attempt, KEEP, Heard())
        save(writer, 128)
        writer.wait()
        writer.close()
    place.store.write(f"{place.checkpoint(checkpoint_name(128, 3))}/state.pt", b"half")
    assert place.name_at(128) == "000000000128-0002"
    assert place.name_at(256) is None


def test_samples_and_curves_after_a_resume_are_dropped(tmp_path: Path) -> None:
    place = place_in(Store(tmp_path))
    writer = Writer(place, 1, KEEP, Heard())
    for position in (128, 256):
        save(writer, position)
    writer.wait()
    writer.close()
    place.drop_curves_after(128)
    assert place.store.names(f"{place.prefix}/samples") == ["000000000128.png"]
    assert place.store.names(f"{place.prefix}/tensorboard") == ["events.out.tfevents.000000000128.part"]
    assert place.curves().count(b"\n") == 2


# Killed


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


@pytest.mark.slow
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


@pytest.mark.slow
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
