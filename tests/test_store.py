"""One contract, the same on a local disk, in memory and on S3."""

from __future__ import annotations

import logging
import os
import pickle
import socket
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from gan_core.errors import ConfigError, StoreError
from gan_core.store import Store, split_url

SECRET = "a-secret-that-must-not-travel"


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of a bucket on an S3 server in this process."""
    import boto3

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "tester")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        boto3.session.Session().client("s3").create_bucket(Bucket="tests")
        yield "s3://tests"
    server.stop()


@pytest.fixture(params=["disk", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "disk":
        return Store(tmp_path / "a store")
    root = request.getfixturevalue("bucket") if request.param == "s3" else "memory://tests"
    return Store(f"{root}/{uuid.uuid4().hex}")


def at_once(n: int, act: Callable[[int], object]) -> list[object]:
    """What each of n threads returned or raised, all let go at the same moment."""
    start, outcomes = threading.Barrier(n), [None] * n

    def one(i: int) -> None:
        start.wait()
        try:
            outcomes[i] = act(i)
        except Exception as error:
            outcomes[i] = error

    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_what_was_written_is_read_back_and_replaced_whole(store: Store) -> None:
    store.write("a/b.bin", b"first, and longer")
    assert store.read("a/b.bin") == b"first, and longer"
    store.write("a/b.bin", b"second")
    assert store.read("a/b.bin") == b"second"
    assert store.sizes("") == {"a/b.bin": 6}


def test_what_is_not_there_cannot_be_read(store: Store) -> None:
    assert not store.exists("a")
    with pytest.raises(FileNotFoundError):
        store.read("a")


def test_create_makes_an_object_only_where_there_is_none(store: Store) -> None:
    store.create("a/b", b"first")
    with pytest.raises(FileExistsError):
        store.create("a/b", b"second")
    store.write("a/c", b"written")
    with pytest.raises(FileExistsError):
        store.create("a/c", b"created")
    assert (store.read("a/b"), store.read("a/c")) == (b"first", b"written")
    assert store.sizes("") == {"a/b": 5, "a/c": 7}
    store.delete("a/b")
    store.create("a/b", b"again")


def test_of_eight_that_create_at_once_exactly_one_wins_and_its_bytes_stand(store: Store) -> None:
    for turn in range(3):
        outcomes = at_once(8, lambda i, turn=turn: store.create(f"race/{turn}", bytes([i]) * 1000))
        winners = [i for i, outcome in enumerate(outcomes) if outcome is None]
        assert [type(o) for o in outcomes if o is not None] == [FileExistsError] * 7
        assert store.read(f"race/{turn}") == bytes(winners) * 1000
    assert store.sizes("race") == {"0": 1000, "1": 1000, "2": 1000}


def test_a_reader_never_meets_a_mixture_of_two_writes(store: Store) -> None:
    versions = [bytes([i]) * 200_000 for i in range(4)]
    store.write("a", versions[0])
    seen = at_once(4, lambda i: store.write("a", versions[i]) if i % 2 else store.read("a"))
    assert {*seen} <= {None, *versions}
    assert store.read("a") in versions


@pytest.mark.parametrize("path", ["../x", "a/../../x", "a/..", "/etc/passwd", "a\\..\\b"])
def test_a_path_out_of_the_store_is_refused(store: Store, path: str, tmp_path: Path) -> None:
    uses: list[Callable[[], object]] = [
        lambda: store.read(path), lambda: store.write(path, b""), lambda: store.create(path, b""),
        lambda: store.delete(path), lambda: store.exists(path), lambda: store.names(path), lambda: store.sizes(path),
        lambda: store.uri(path), lambda: store.put(tmp_path / "from", path), lambda: store.get(path, tmp_path / "to"),
    ]
    (tmp_path / "from").write_bytes(b"x")
    for use in uses:
        with pytest.raises(StoreError, match="points outside the store; use a relative path"):
            use()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["from"]


def test_names_are_those_right_below_sorted_and_without_hidden_ones(store: Store) -> None:
    for path in ("p/b", "p/a/x/y", "p/.hidden", "p/c.d", "pp/z"):
        store.write(path, b"")
    assert store.names("p") == ["a", "b", "c.d"]
    assert store.names("p/a") == ["x"]
    assert store.names("") == ["p", "pp"]
    assert store.names("nothing") == []
    assert store.names("p/b") == []


def test_sizes_are_of_every_object_below(store: Store) -> None:
    store.write("p/a", b"12")
    store.write("p/b/c", b"")
    store.write("pp", b"1234")
    assert store.sizes("p") == {"a": 2, "b/c": 0}
    assert store.sizes("") == {"p/a": 2, "p/b/c": 0, "pp": 4}
    assert store.sizes("nothing") == {}


def test_delete_takes_an_object_or_all_below_a_prefix_and_minds_no_absence(store: Store) -> None:
    for path in ("a/b", "a/c/d", "ab", "e"):
        store.write(path, b"x")
    store.delete("a")
    assert store.sizes("") == {"ab": 1, "e": 1}
    store.delete("e")
    store.delete("e")
    store.delete("nothing/here")
    assert store.sizes("") == {"ab": 1}


def test_a_file_goes_in_and_comes_out_the_same(store: Store, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "new" / "back"
    there.write_bytes(os.urandom(100_000))
    store.put(there, "a/file")
    store.put(there, "a/file")
    store.get("a/file", back)
    assert back.read_bytes() == there.read_bytes()
    assert store.names("a") == ["file"]
    assert [p.name for p in back.parent.iterdir()] == ["back"]


def test_a_download_of_nothing_leaves_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.get("nothing", tmp_path / "out" / "file")
    assert list((tmp_path / "out").glob("[!.]*")) == []


def test_a_uri_opens_the_same_store_again(store: Store) -> None:
    store.write("a/b", b"x")
    assert store.uri() == store.url
    assert Store(store.uri("a")).read("b") == b"x"
    assert split_url(store.uri("a")) == (store.url, "a")
    assert Store(f"{store.url}/").read("a/b") == b"x"


def test_a_pickled_store_works_and_carries_no_secret(store: Store) -> None:
    store.write("a", b"x")
    pickled = pickle.dumps(store)
    assert SECRET.encode() not in pickled
    assert SECRET not in repr(store)
    assert pickle.loads(pickled).read("a") == b"x"


def test_a_writable_store_is_found_so_and_left_empty(store: Store) -> None:
    store.check_writable()
    assert store.sizes("") == {}


def test_a_disk_that_cannot_be_written_is_a_mistake_in_the_command(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"--store file://.*/file/store: cannot be written: Not a directory; name a"):
        Store(tmp_path / "file" / "store").check_writable()


def test_a_bucket_that_is_not_there_is_a_mistake_in_the_command(bucket: str) -> None:
    with pytest.raises(ConfigError, match=r"--store s3://no-such/x: cannot be written: .*bucket does not exist; name"):
        Store("s3://no-such/x").check_writable()
    import boto3

    assert "no-such" not in [b["Name"] for b in boto3.session.Session().client("s3").list_buckets()["Buckets"]]


def test_an_unknown_kind_of_store_is_answered_with_two_that_work() -> None:
    with pytest.raises(ConfigError, match=r"--store s4://x: .*; \./store and s3://bucket/prefix work"):
        Store("s4://x")


def test_a_bare_path_is_a_local_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Store("a b/c").url == f"file://{tmp_path}/a b/c"
    assert Store("~/c").url == f"file://{tmp_path}/home/c"
    assert Store().url == f"file://{tmp_path}/store"
    assert Store("c").local_path("x") == tmp_path / "c" / "x"


def test_only_a_local_store_has_local_paths() -> None:
    with pytest.raises(StoreError, match="memory://tests/x: is not on a local disk"):
        Store("memory://tests").local_path("x")


def test_an_interrupted_write_leaves_what_stood_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.write("a", b"whole")

    def power_cut(*names: object) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", power_cut)
        with pytest.raises(OSError, match="power cut"):
            store.write("a", b"half")
    assert store.read("a") == b"whole"
    assert store.names("") == ["a"]


def test_sweeping_takes_what_dead_processes_of_this_host_left_in_staging_and_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path)
    gone = subprocess.Popen(["true"])
    gone.wait()
    mine, host = store.staging(), socket.gethostname()
    others = [f"{host}-{gone.pid}-{'a' * 32}", f"elsewhere-{gone.pid}-{'b' * 32}", f"{host}-2-{gone.pid}-{'c' * 32}"]
    for name in others:
        (mine.parent / name).mkdir()
    store.sweep()
    assert sorted(p.name for p in mine.parent.iterdir()) == sorted([mine.name, *others[1:]])


def test_a_url_with_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="the URL holds a password") as refused:
        Store("s3://key:hunter2@bucket/prefix")
    assert "hunter2" not in str(refused.value)
