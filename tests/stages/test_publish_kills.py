"""Publishers that are killed at every operation, and publishers at once: versions are whole, and nothing is changed."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import pytest

from gan_core import export
from gan_core.addresses import current_alias
from gan_core.errors import StoreError
from gan_core.manifest import CLAIM, MANIFEST, damaged_files, read_manifest
from gan_core.published import version_prefix, versions
from gan_core.store import Store
from pipelines.stages import publish as publish_stage
from pipelines.stages.publish import is_published
from tests.artefacts import (
    an_experiment,
    finish_run,
    finish_scores,
    flip_a_byte,
    in_fresh_process,
    publish_as,
    publish_one,
)
from tests.s3_server import S3Server, no_fault, s3_server

WRITES = ("PUT", "POST", "DELETE")
FILES = 10
ALIASES = ("latest", "champion")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # a process that has computed on several cannot fork one that computes


real_export = cache(export.exported)


def exported(specification: bytes, weights: bytes, uri: str) -> export.Exported:
    """Hundreds of versions have the same weights."""
    return real_export(specification, weights, "the same wherever it lies")


@pytest.fixture(autouse=True)
def exported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "exported", exported)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def memory() -> Iterator[Store]:
    made = Store("memory://kills")
    yield made
    made.delete("")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server("kills", "a-secret") as running:
        yield running


@pytest.fixture
def s3(server: S3Server, request: pytest.FixtureRequest) -> Iterator[Store]:
    """A prefix of its own, with a run and its scores."""
    made = Store(f"s3://kills/{request.node.name.partition('[')[0]}")
    finish_scores(made, finish_run(made))
    yield made
    server.fault = no_fault


def on(store: Store, alias: str) -> str | None:
    current = current_alias(store, "digits", alias)
    return current.version if current else None


def moves(store: Store, alias: str) -> list[str]:
    return store.names(f"models/digits/aliases/{alias}")


def publish_key(store: Store, key: str) -> str:
    return publish_as(store, key, "runs/r1", "scores/e1").version


def assert_all_whole(store: Store) -> None:
    """Every version that is listed, to the byte; and the aliases' histories have no gap and stand on whole ones."""
    listed = versions(store, "digits")
    for version in listed:
        prefix = version_prefix("digits", version)
        manifest = read_manifest(store, prefix)
        assert manifest is not None
        assert len(manifest.files) == FILES
        assert damaged_files(store, prefix, manifest) == []
    for alias in ALIASES:
        assert moves(store, alias) == [f"{n:06d}.json" for n in range(1, len(moves(store, alias)) + 1)]
        assert on(store, alias) in (None, *listed)


def keys_of(store: Store) -> list[str]:
    """The key of each whole version, oldest first."""
    found = [read_manifest(store, version_prefix("digits", version)) for version in versions(store, "digits")]
    return [manifest.key for manifest in found if manifest is not None]


def contents(store: Store) -> dict[str, str]:
    """sha256 of every object that readers may meet, by path."""
    return {path: sha256(store.read(path)).hexdigest() for path in store.sizes("")
            if not any(part.startswith(".") for part in path.split("/"))}


def etags(store: Store) -> dict[str, str]:
    """The same of S3, in one request: ETags are digests of the content."""
    bucket, _, prefix = store.url.removeprefix("s3://").partition("/")
    lister = boto3.session.Session().client("s3").get_paginator("list_objects_v2")
    pages = lister.paginate(Bucket=bucket, Prefix=f"{prefix}/")
    return {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", ())}


def assert_versions_with_a_manifest_have_all_files(listed: Iterable[str]) -> None:
    folders = [path.rpartition("/") for path in listed if "/versions/" in path]
    count = Counter(folder for folder, _, _ in folders)
    assert {count[folder] for folder, _, name in folders if name == MANIFEST} == {FILES + 2}  # with manifest and claim


# --- kills --------------------------------------------------------------------------------------------------


KILLS = """
import json, os, pathlib, shutil, signal, sys
from tests.stages.test_publish_kills import contents, exported
from gan_core import export
from gan_core.manifest import MANIFEST, damaged_files, read_manifest
from gan_core.store import Store
from gan_core.addresses import current_alias
from gan_core.published import version_prefix, versions
from pipelines.models import find_version
from pipelines.stages.publish import is_published
from tests.artefacts import an_experiment, publish_as

export.exported = exported
base, work = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
OPERATIONS = [(os, n) for n in ("rename", "replace", "link", "unlink", "mkdir", "fsync", "rmdir")]
OPERATIONS += [(pathlib.Path, "write_bytes"), (Store, "staging"), (Store, "create")]

def die_at(last):
    count = 0
    def wrapped(target, name):
        real = getattr(target, name)
        def operation(*arguments, **options):
            nonlocal count
            count += 1
            if count == last:
                if name == "write_bytes":
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)
        setattr(target, name, operation)
    for target, name in OPERATIONS:
        wrapped(target, name)
    return lambda: count

def state(store):
    problems = []
    for version in versions(store, "digits"):
        prefix = version_prefix("digits", version)
        problems += damaged_files(store, prefix, read_manifest(store, prefix))
    aliases = {a: current_alias(store, "digits", a) for a in ("latest", "champion")}
    return {"versions": versions(store, "digits"), "problems": problems,
            "found": find_version(store, "digits", "p2"),
            "published": is_published(store, an_experiment(), "p2"),
            "moves": {a: store.names(f"models/digits/aliases/{a}") for a in aliases},
            "aliases": {a: c and c.version for a, c in aliases.items()}}

outcomes, killed, last = [], True, 0
while killed:
    last += 1
    place = work / str(last)
    shutil.copytree(base, place)
    store, before = Store(place), contents(Store(place))
    child = os.fork()
    if child == 0:
        counted = die_at(last)
        publish_as(store, "p2", "runs/r2", "scores/e2")
        (work / "operations").write_text(str(counted()))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or status == 0, status
    after, middle = state(store), contents(store)
    again = publish_as(store, "p2", "runs/r2", "scores/e2")
    told = [again.version, again.promoted, again.refusals]
    outcomes.append({"after": after, "again": told, "end": state(store),
                     "changed": [dict(middle, **before) != middle, dict(contents(store), **middle) != contents(store)]})
    shutil.rmtree(place)
print(json.dumps({"outcomes": outcomes, "kills": last - 1, "operations": int((work / "operations").read_text())}))
"""


def test_a_kill_at_any_operation_leaves_whole_versions_and_the_next_start_completes_it(
    store: Store, tmp_path: Path
) -> None:
    publish_one(store, "p1", "r1")
    finish_scores(store, finish_run(store, "r2", seed=2), "e2")
    (tmp_path / "work").mkdir()
    told = json.loads(in_fresh_process(KILLS, str(store.local_path("")), str(tmp_path / "work"), **ONE_THREAD))
    outcomes = told["outcomes"]
    assert told["kills"] == told["operations"] > 30  # every one, the last of them too
    for outcome in outcomes:
        assert outcome["changed"] == [False, False]
        after, end = outcome["after"], outcome["end"]
        assert after["problems"] == end["problems"] == []
        assert after["versions"] in (["0001"], ["0001", "0002"])
        assert not after["published"][1] or after["aliases"] == {"latest": "0002", "champion": "0002"}
        assert outcome["again"] == ["0002", True, []]
        assert end["versions"] == ["0001", "0002"]
        assert (end["found"], end["published"]) == ("0002", ["0002", True])
        assert end["aliases"] == {"latest": "0002", "champion": "0002"}
        assert set(map(tuple, end["moves"].values())) == {("000001.json", "000002.json")}
    stages = {(len(o["after"]["versions"]), *o["after"]["aliases"].values(), o["after"]["published"][1])
              for o in outcomes}
    assert stages == {(1, "0001", "0001", False), (2, "0001", "0001", False), (2, "0002", "0001", False),
                      (2, "0002", "0002", False), (2, "0002", "0002", True)}


class Killed(BaseException):
    """Ends a publisher in the middle, as a kill would."""


def die_at(last: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """From its `last` operation on a store on, this process does nothing there.  Returns the operations so far."""
    count, counting = 0, threading.Lock()

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            with counting:
                count += 1
                if count >= last:
                    raise Killed
            return real(*arguments, **options)

        return operation

    for name in ("create", "write", "put", "get", "delete", "read", "names", "sizes"):
        monkeypatch.setattr(Store, name, wrapped(getattr(Store, name)))
    return lambda: count


def test_an_object_store_holds_whole_versions_after_a_kill_at_any_operation(
    store: Store, memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish_scores(store, finish_run(store))
    objects = {path: store.read(path) for path in store.sizes("")}
    killed, last, operations = True, 0, 0
    while killed:
        last += 1
        memory.delete("")
        for path, data in objects.items():
            memory.write(path, data)
        with monkeypatch.context() as patch:
            counted = die_at(last, patch)
            try:
                publish_key(memory, "p1")
                killed, operations = False, counted()
            except Killed:
                pass
        assert_all_whole(memory)
        middle = contents(memory)
        version = publish_key(memory, "p1")
        assert_all_whole(memory)
        assert contents(memory).items() >= middle.items()
        assert versions(memory, "digits") == (version,)
        assert (on(memory, "latest"), on(memory, "champion")) == (version, version)
        assert (moves(memory, "latest"), moves(memory, "champion")) == (["000001.json"], ["000001.json"])
    assert last - 1 == operations > 40


def refuse_from(number: int, server: S3Server) -> Callable[[], int]:
    """S3 answers nothing more from the write of that number on, as when its client is dead.  Returns writes so far."""
    count, dead, counting = 0, False, threading.Lock()

    def fault(method: str, path: str) -> tuple[int, str] | None:
        nonlocal count, dead
        with counting:
            count += method in WRITES and not dead
            dead = dead or count >= number
            return (403, "AccessDenied") if dead else None

    server.fault = fault
    return lambda: count


@pytest.mark.system
def test_s3_holds_whole_versions_after_a_kill_at_any_write(s3: Store, server: S3Server) -> None:
    """Each publisher dies at a later write, and all publish to one model, so that each meets what others left."""
    publish_key(s3, "p0")
    killed, last, writes = True, 0, 0
    while killed:
        last += 1
        before, counted = etags(s3), refuse_from(last, server)
        try:
            publish_key(s3, f"p{last}")
            killed, writes = False, counted()
        except StoreError:  # the server refuses all from there on
            pass
        server.fault = no_fault
        after = etags(s3)
        assert after.items() >= before.items()
        assert_versions_with_a_manifest_have_all_files(after)
        version = publish_key(s3, f"p{last}")
        assert etags(s3).items() >= after.items()
        assert (on(s3, "latest"), on(s3, "champion")) == (version, version)
    assert keys_of(s3) == [f"p{n}" for n in range(last + 1)]
    assert_all_whole(s3)
    assert last - 1 == writes > 15  # a claim, 10 files, an admission, a manifest, two moves, a verdict


# --- publishers at once -------------------------------------------------------------------------------------

RACE = """
import os, sys
import gan_core.export  # once, and not in every child
from gan_core.store import Store
from tests.artefacts import publish_as
ready, start = os.pipe()
children = []
for key in sys.argv[2:]:
    child = os.fork()
    if child == 0:
        os.close(start)
        os.read(ready, 1)  # ends for all at once, when the parent closes its end
        publish_as(Store(sys.argv[1]), key, "runs/r1", "scores/e1")
        os._exit(0)
    children.append(child)
os.close(start)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""


def test_publishers_of_different_keys_that_race_get_a_version_each(store: Store) -> None:
    finish_scores(store, finish_run(store))
    keys = [f"p{n}" for n in range(6)]
    in_fresh_process(RACE, store.url, *keys, **ONE_THREAD)
    assert_all_whole(store)
    assert versions(store, "digits") == tuple(f"{n:04d}" for n in range(1, 7))
    assert {is_published(store, an_experiment(), key) for key in keys} == {
        (v, True) for v in versions(store, "digits")
    }
    assert on(store, "latest") == "0006"
    for alias in ("latest", "champion"):
        assert moves(store, alias) == [f"{n:06d}.json" for n in range(1, len(moves(store, alias)) + 1)]
    assert len(moves(store, "champion")) == 6


def test_publishers_of_one_key_that_race_make_one_version(store: Store) -> None:
    finish_scores(store, finish_run(store))
    in_fresh_process(RACE, store.url, *["same"] * 6, **ONE_THREAD)
    assert_all_whole(store)
    assert versions(store, "digits") == ("0001",)
    assert (moves(store, "latest"), moves(store, "champion")) == (["000001.json"], ["000001.json"])


def at_once(publishers: int, publish: Callable[[int], Any]) -> None:
    start, failures = threading.Barrier(publishers), list[BaseException]()

    def one(number: int) -> None:
        start.wait()
        try:
            publish(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(publishers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_threads_that_publish_different_keys_to_s3_get_a_number_each(s3: Store) -> None:
    at_once(3, lambda number: publish_key(Store(s3.url), f"p{number}"))
    assert_all_whole(s3)
    assert sorted(keys_of(s3)) == ["p0", "p1", "p2"]
    assert on(s3, "latest") == versions(s3, "digits")[-1]
    assert len(moves(s3, "champion")) == 3


def test_threads_that_publish_one_key_to_s3_make_one_version(s3: Store) -> None:
    at_once(3, lambda number: publish_key(Store(s3.url), "same"))
    assert_all_whole(s3)
    assert keys_of(s3) == ["same"]
    assert_versions_with_a_manifest_have_all_files(etags(s3))
    assert on(s3, "latest") == versions(s3, "digits")[-1]
    before = etags(s3)
    publish_key(s3, "same")
    assert etags(s3) == before


def test_processes_that_publish_to_s3_get_a_number_each(s3: Store) -> None:
    in_fresh_process(RACE, s3.url, "p0", "p1", **ONE_THREAD)
    assert_all_whole(s3)
    assert sorted(keys_of(s3)) == ["p0", "p1"]
    assert on(s3, "latest") == versions(s3, "digits")[-1]


def test_of_two_publishers_of_one_key_on_an_object_store_the_later_takes_its_files_away(
    memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish_scores(memory, finish_run(memory))
    admit = publish_stage.admit

    def overtaken(*arguments: Any) -> None:
        monkeypatch.setattr(publish_stage, "admit", admit)
        assert publish_key(memory, "p1") == "0002"  # while the first has all its files in place
        admit(*arguments)

    monkeypatch.setattr(publish_stage, "admit", overtaken)
    assert publish_key(memory, "p1") == "0002"
    assert versions(memory, "digits") == ("0002",)
    assert memory.names("models/digits/versions/0001") == [CLAIM]
    assert_all_whole(memory)


def test_an_admitted_version_whose_files_are_gone_is_made_again(memory: Store) -> None:
    finish_scores(memory, finish_run(memory))
    assert publish_key(memory, "p1") == "0001"
    memory.delete("models/digits/versions/0001/generator.safetensors")
    assert publish_key(memory, "p1") == "0002"
    flip_a_byte(memory, "models/digits/versions/0002/config.json")
    assert publish_key(memory, "p1") == "0003"
    assert publish_key(memory, "p1") == "0003"
