"""Which checkpoints stay, over random histories of saves, restarts, losses and failed deletions; how others go."""

from __future__ import annotations

import random
from itertools import count, pairwise
from pathlib import Path

import pytest

from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from gan_core.train.retention import Retention, checkpoint_name, position_of
from gan_core.train.schedule import crossed
from gan_core.train.uploads import Writer
from tests.s3_server import S3Server, no_fault
from tests.train.saves import KEEP, Heard, place_in, save, snapshot


def names(*positions: int) -> list[str]:
    return [checkpoint_name(position, 1) for position in positions]


def test_the_newest_the_best_and_the_first_after_each_multiple_stay() -> None:
    whole = names(60, 120, 180, 240, 300, 360, 420)
    assert Retention(2).kept(whole, []) == {*names(360, 420)}
    assert Retention(2).kept(whole, [180]) == {*names(180, 360, 420)}
    # 100 was crossed by 120, 200 by 240, 300 stands on its multiple, 400 was crossed by 420
    assert Retention(2, 100).kept(whole, [60]) == {*names(60, 120, 240, 300, 360, 420)}


def test_of_several_attempts_at_a_position_the_newest_stands_for_it() -> None:
    whole = ["000000000100-0001", "000000000100-0003", *names(200, 300)]
    assert Retention(2).kept(whole, [100]) == {"000000000100-0003", *names(200, 300)}
    assert Retention(2, 100).kept(whole, []) == {"000000000100-0003", *names(200, 300)}


def test_a_best_position_without_a_checkpoint_keeps_nothing() -> None:
    assert Retention(2).kept(names(100, 200, 300), [150]) == {*names(200, 300)}


def test_nothing_goes_before_enough_is_whole() -> None:
    assert Retention(3).doomed(names(100, 200, 300, 400), names(300, 400), []) == []


def test_unfinished_ones_go_when_they_are_older_than_the_newest_and_push_no_whole_one_out() -> None:
    whole = names(100, 200)
    everything = sorted([*whole, "000000000050-0001", "000000000150-0001", "000000000300-0001", "000000000300-0002"])
    assert Retention(2).doomed(everything, whole, []) == ["000000000050-0001"]


@pytest.mark.parametrize("seed", range(60))
def test_in_any_history_what_must_stay_is_there_and_nothing_else(seed: int) -> None:
    rng = random.Random(seed)
    batch, every, last = rng.choice([7, 32, 128]), rng.choice([None, 500, 1000]), rng.randint(2, 4)
    keep, attempt, position, best = Retention(last, every), 1, 0, 0
    there: dict[str, bool] = {}  # name: whether it is whole
    made: set[int] = set()  # positions that a checkpoint was ever finished at
    for _ in range(60):
        if rng.random() < 0.15:  # killed while it wrote; the next attempt begins at the newest whole one
            there.setdefault(checkpoint_name(position + batch, attempt), False)
            attempt += 1
            position = max((position_of(name) for name, whole in there.items() if whole), default=0)
        position += batch * rng.randint(1, 12)
        there[checkpoint_name(position, attempt)] = True
        made.add(position)
        best = position if rng.random() < 0.3 else best
        listed = sorted(there)
        whole = [name for name in listed if there[name]]
        doomed = keep.doomed(listed, whole, [best])
        for name in doomed:
            if rng.random() < 0.3:
                continue  # the deletion failed
            if rng.random() < 0.2:
                there[name] = False  # the deletion broke off after the manifest
                continue
            del there[name]
        left = sorted(name for name, is_whole in there.items() if is_whole)
        assert keep.kept(left, [best]) == keep.kept(whole, [best]), "another attempt would decide otherwise"
        assert whole[-last:] == left[-last:]
        assert best in {position_of(name) for name in left} | {0}
        if every is not None:
            firsts = {after for before, after in pairwise([0, *sorted(made)])
                      if crossed(after, step=after - before, every=every)}
            assert firsts <= {position_of(name) for name in left}
    for name in keep.doomed(sorted(there), left, [best]):  # at last all deletions come true
        del there[name]
    kept = {name for name, is_whole in there.items() if is_whole}
    assert kept == keep.kept(left, [best])
    assert all(name > left[-last] for name in there.keys() - kept)


# In a store


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
                    "AccessDenied: as the test wants it; this is tried again after each checkpoint"]
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
    server.fault = lambda method, path: (503, "") if method in ("POST", "DELETE") and next(deletions) >= 2 else None
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
