"""What a store's housekeeping removes, and what it never touches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gan_core.manifest import artefact
from gan_core.published import versions
from gan_core.store import Store
from pipelines import housekeeping
from pipelines.housekeeping import Item, garbage, remove, survey, time_of
from pipelines.models import next_version
from pipelines.records import RunRecord, StageRecord, record_path, write_record
from tests.artefacts import a_parent, finish_run, finish_scores, publish_as
from tests.s3_server import s3_server

OLD = timedelta(days=7)
LATER = datetime.now(UTC) + timedelta(days=30)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A version that was made from shards/s1, runs/r1 and scores/e1."""
    made = Store(tmp_path / "store")
    run = finish_run(made)
    publish_as(made, "p1", run, finish_scores(made, run))
    return made


def put(store: Store, prefix: str, kind: str, **parents: str) -> str:
    """A small finished artefact."""
    made_from = tuple(a_parent(store, at) for at in parents.values())
    with artefact(store, prefix, kind=kind, key="k", parents=made_from) as draft:
        (draft.path / "data").write_bytes(b"x" * 1000)
    return prefix


def going(store: Store, now: datetime = LATER, keep: int = 1) -> list[str]:
    return [item.prefix for item in garbage(survey(store, keep), OLD, now)]


def test_what_a_version_was_made_from_stays_whatever_its_age(store: Store) -> None:
    assert going(store) == []
    found = {item.prefix: item.needed for item in survey(store)}
    assert found == dict.fromkeys(("shards/s1", "runs/r1", "scores/e1"), "digits@0001")


def test_ages_are_told_by_the_clock_that_dates_the_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's, a week ahead, would have what a pipeline writes at this moment removed."""
    ahead = time.time() + OLD.total_seconds() + 3600
    monkeypatch.setattr(time, "time", lambda: ahead)
    store = Store(tmp_path)
    assert datetime.now(UTC) - timedelta(minutes=1) < time_of(store) < datetime.now(UTC) + timedelta(minutes=1)
    assert store.sizes("") == {}


def test_what_nothing_was_made_from_goes_once_it_is_old(store: Store) -> None:
    left = [put(store, "runs/lost", "run"), put(store, "shards/lost", "shards")]
    store.write("runs/half/checkpoints/000000000064-0001/state.pt", b"begun and never ended")
    assert sorted(going(store)) == ["runs/half", *sorted(left)]
    assert going(store, datetime.now(UTC)) == []


def test_features_of_a_needed_data_set_stay_and_others_go(store: Store) -> None:
    put(store, "shards/other", "shards")
    put(store, "features/ours", "features", shards="shards/s1")
    put(store, "features/theirs", "seen", shards="shards/other")
    assert sorted(going(store)) == ["features/theirs", "shards/other"]


def record_of(store: Store, **keys: str) -> None:
    stages = {stage: StageRecord(key=key, config={}, inputs={}, code={}) for stage, key in keys.items()}
    write_record(store, record_path("other", datetime.now(UTC)), RunRecord(started="", experiment={}, stages=stages))


def test_champions_that_were_measured_on_a_needed_data_set_stay_and_others_go(store: Store) -> None:
    put(store, "references/kept", "reference", version="models/digits/versions/0001", data="shards/s1")
    lost = put(store, "shards/lost", "shards")
    put(store, "references/lost", "reference", version="models/digits/versions/0001", data=lost)
    assert going(store) == [lost, "references/lost"]


def test_what_a_dead_publisher_left_goes_and_its_number_stays_taken() -> None:
    store = Store("memory://housekeeping")
    store.write("models/digits/versions/0001/CLAIM.json", b"{}")
    store.write("models/digits/versions/0001/config.json", b"{}")
    store.write("models/digits/versions/0002/CLAIM.json", b"{}")
    assert [(item.prefix, item.kind) for item in garbage(survey(store), OLD, LATER)] == [
        ("models/digits/versions/0001", "versions begun")]
    assert going(store, datetime.now(UTC)) == []
    found = garbage(survey(store), OLD, LATER)
    store.write("models/digits/versions/0001/MANIFEST.json", b"finished after all")
    assert remove(store, found) == []
    store.delete("models/digits/versions/0001/MANIFEST.json")
    assert [item.prefix for item in remove(store, found)] == ["models/digits/versions/0001"]
    assert set(store.sizes("")) == {f"models/digits/versions/000{n}/CLAIM.json" for n in (1, 2)}
    assert next_version(store, "digits") == "0003"
    store.delete("")


def test_an_admitted_version_that_lacks_its_manifest_stays_until_it_is_completed() -> None:
    store = Store("memory://housekeeping")
    run = finish_run(store)
    scores = finish_scores(store, run)
    publish_as(store, "p1", run, scores)
    store.delete("models/digits/versions/0001/MANIFEST.json")
    (begun,) = [item for item in survey(store) if item.kind == "versions begun"]
    assert begun.needed == "digits@0001, which the next start completes"
    assert publish_as(store, "p1", run, scores).version == "0001"
    assert [item for item in survey(store) if item.kind == "versions begun"] == []
    store.delete("")


def test_what_the_newest_run_of_an_experiment_made_or_makes_stays(store: Store) -> None:
    put(store, f"shards/{'a' * 16}", "shards")
    put(store, f"runs/{'b' * 16}", "run", shards=f"shards/{'a' * 16}")
    store.write(f"scores/{'c' * 16}/samples.png", b"evaluate is at work")
    record_of(store, train="b" * 64, evaluate="c" * 64)
    assert going(store) == []
    record_of(store, prepare="d" * 64, train="d" * 64, evaluate="d" * 64)
    assert len(going(store)) == 3


def checkpoints(store: Store, *positions: int) -> list[str]:
    return [put(store, f"runs/r1/checkpoints/{position:012d}-0001", "checkpoint") for position in positions]


def test_of_a_finished_run_the_newest_checkpoints_stay(store: Store) -> None:
    first, second, third = checkpoints(store, 64, 128, 192)
    assert going(store) == [first, second]
    assert going(store, keep=2) == [first]
    assert going(store, keep=0) == [first, second, third]


def test_the_checkpoint_whose_weights_were_published_stays(store: Store) -> None:
    first, _, _ = checkpoints(store, 64, 128, 192)
    text = json.loads(store.read("runs/r1/MANIFEST.json"))
    text["facts"] |= {"best": {"position": 64, "value": 1.0}, "weights_of": 64}
    store.write("runs/r1/MANIFEST.json", json.dumps(text).encode())
    assert first not in going(store)


def test_removing_leaves_the_version_whole_and_nothing_of_what_went(store: Store) -> None:
    put(store, "runs/lost", "run")
    old, _ = checkpoints(store, 64, 128)
    found = garbage(survey(store), OLD, LATER)
    assert [item.prefix for item in remove(store, found)] == ["runs/lost", old]
    assert store.sizes("runs/lost") == store.sizes(old) == {}
    assert versions(store, "digits") == ("0001",)
    assert going(store) == []


def test_what_a_run_took_up_meanwhile_is_left(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "LOOK_AGAIN_S", 0)
    for key in ("a", "b"):
        put(store, f"runs/{key * 16}", "run")
    found = garbage(survey(store), OLD, LATER)
    kept = store.delete

    def then_a_run_begins(path: str) -> None:
        record_of(store, train="b" * 64)
        kept(path)

    monkeypatch.setattr(store, "delete", then_a_run_begins)
    assert [item.prefix for item in remove(store, found)] == [f"runs/{'a' * 16}"]
    assert store.exists(f"runs/{'b' * 16}/MANIFEST.json")


def test_half_a_removal_leaves_nothing_that_looks_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "runs/lost", "run")
    (item,) = garbage(survey(store), OLD, LATER)

    class Killed(BaseException):
        """As by SIGKILL."""

    real = store.delete

    def killed_after_one(path: str) -> None:
        real(path)
        raise Killed

    monkeypatch.setattr(store, "delete", killed_after_one)
    with pytest.raises(Killed):
        remove(store, [item])
    assert not store.exists("runs/lost/MANIFEST.json")
    assert going(store) == ["runs/lost"]


def gan_store(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pipelines.cli", "store", *words], capture_output=True, text=True,
                          timeout=60, env=os.environ | {"COLUMNS": "80"})


def test_the_command_lists_and_removes_only_when_told(store: Store) -> None:
    put(store, "runs/lost", "run")
    for file in store.local_path("runs/lost").iterdir():
        os.utime(file, (time.time() - 8 * 86400,) * 2)
    listed = gan_store("gc", "--store", store.url)
    assert "runs/lost" in listed.stdout
    assert "1 not needed for 7 days, 1.4 kB; --delete removes them" in listed.stderr
    assert store.exists("runs/lost/MANIFEST.json")
    told = json.loads(gan_store("gc", "--store", store.url, "--delete", "--json").stdout)
    assert told["removed"] == ["runs/lost"]
    assert not store.exists("runs/lost/MANIFEST.json")
    listed = gan_store("du", "--store", store.url, "--json")
    used = {item["prefix"]: item["bytes"] for item in json.loads(listed.stdout)}
    assert used.keys() == {"shards/s1", "runs/r1", "scores/e1"}
    assert used["runs/r1"] == sum(store.sizes("runs/r1").values())


def test_on_s3_uploads_that_never_ended_are_removed_when_they_are_old() -> None:
    import boto3

    with s3_server("tests", "a-secret-of-the-tests"):
        client, store = boto3.session.Session().client("s3"), Store("s3://tests/team")
        for key in ("team/runs/r/big", "elsewhere/big"):
            client.create_multipart_upload(Bucket="tests", Key=key)
        put(store, "runs/lost", "run")
        assert store.abort_uploads(timedelta(days=36_500), LATER) == 0  # moto says all were begun in 2010
        assert store.abort_uploads(OLD, LATER) == 1
        assert [one["Key"] for one in client.list_multipart_uploads(Bucket="tests")["Uploads"]] == ["elsewhere/big"]
        assert going(store) == ["runs/lost"]
        assert remove(store, garbage(survey(store), OLD, LATER))
        assert store.sizes("runs") == {}


def test_an_empty_store_holds_nothing(tmp_path: Path) -> None:
    assert survey(Store(tmp_path)) == []
    assert garbage([Item("runs/x", "runs", 1, 1, LATER, True)], OLD, LATER) == []
