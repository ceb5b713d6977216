"""Checkpoints on their way: through outages of the store, whole or absent, in order, and never more than two."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_core.errors import StoreError, Superseded
from gan_core.manifest import MANIFEST
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace, save_state
from gan_core.train.patience import PatientStore
from gan_core.train.uploads import Writer
from tests.s3_server import S3Server, no_fault
from tests.train.saves import KEEP, SECRET, Heard, assert_whole, place_in, save, snapshot

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
    puts = [path for method, path in server.asked if method == "PUT" and "/.doctor/" not in path]  # but for the probe
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
    server.fault = lambda method, path: (503, "") if "000000000256" in path else None
    save(writer, 256)
    save(writer, 384)  # could be written, but nothing is after a gap
    with pytest.raises(StoreError, match=r"^upload of checkpoint 256 failed for [\d.]+ s: .*the store answers again"):
        writer.wait()
    server.fault = no_fault
    with pytest.raises(StoreError, match="upload of checkpoint 256 failed"):
        save(writer, 512)
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
    with pytest.raises(StoreError, match=r"checkpoint 128 failed: AccessDenied: as the test wants it; .*: have "):
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
    with pytest.raises(StoreError, match=r"^access to s3://.* failed for [\d.]+ s: .*run the same command"):
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
