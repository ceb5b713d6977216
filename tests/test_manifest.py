from __future__ import annotations

import threading
import uuid
from pathlib import Path

import pytest

from gan_core.errors import DamagedFile, StoreError
from gan_core.manifest import (
    MANIFEST,
    File,
    Manifest,
    Parent,
    artefact,
    canonical_digest,
    damaged_files,
    missing_files,
    read_file,
    read_manifest,
    read_named,
)
from gan_core.store import STAGING, Store

FILES = {"a.bin": b"first", "sub/b.bin": b"second"}


class Recorded(Store):
    """Writes down the order in which objects appear, and fails at the n-th when told to."""

    def __init__(self, url: str, fails_at: int | None = None) -> None:
        super().__init__(url)
        self.order: list[str] = []
        self.fails_at = fails_at
        self._counting = threading.Lock()

    def write(self, path: str, data: bytes) -> None:
        self._count(path)
        super().write(path, data)

    def put(self, local: Path, path: str) -> None:
        self._count(path)
        super().put(local, path)

    def _count(self, path: str) -> None:
        with self._counting:
            if len(self.order) == self.fails_at:
                raise ConnectionError("the line went down")
            self.order.append(path)


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path / "store") if request.param == "disk" else Store(f"memory://{uuid.uuid4().hex}")


def finish(
    store: Store, prefix: str = "p", files: dict[str, bytes] = FILES, *, key: str = "k", exclusive: bool = False
) -> Manifest:
    with artefact(store, prefix, kind="test", key=key, exclusive=exclusive) as draft:
        for path, data in files.items():
            (draft.path / path).parent.mkdir(exist_ok=True)
            (draft.path / path).write_bytes(data)
        draft.facts["answer"] = 42
    manifest = read_manifest(store, prefix)
    assert manifest is not None
    return manifest


def fail_to_finish(store: Store) -> None:
    with artefact(store, "p", kind="test", key="other") as draft:
        (draft.path / "a.bin").write_bytes(b"x")
        raise ConnectionError


def flip_a_bit(store: Store, path: str) -> None:
    data = bytearray(store.read(path))
    data[0] ^= 1
    store.write(path, bytes(data))


def test_a_finished_artefact_tells_what_it_is_and_holds_its_files(store: Store) -> None:
    parent = Parent(kind="shards", uri="file:///x", digest="d")
    with artefact(store, "p", kind="test", key="k", parents=(parent,)) as draft:
        (draft.path / "a").write_bytes(b"x")
        draft.facts["answer"] = 42
    found = read_manifest(store, "p")
    assert found is not None
    assert (found.kind, found.key, found.parents, found.facts) == ("test", "k", (parent,), {"answer": 42})
    assert [(f.path, f.size) for f in found.files] == [("a", 1)]
    assert {"python", "torch", "gan-pipelines"} <= found.versions.keys()
    assert read_named(store, "p", found, "a") == b"x"
    assert store.sizes("p").keys() == {"a", MANIFEST}


def test_the_digest_is_of_the_files_alone_and_not_of_their_order_time_or_key() -> None:
    one, two = "1" * 64, "2" * 64
    a, b = File(path="a", size=1, sha256=one), File(path="b", size=2, sha256=two)
    usual = Manifest(kind="k", key="k", files=(a, b), created="now")
    other = Manifest(kind="x", key="y", files=(b, a), created="later", facts={"n": 1}, versions={"torch": "9"})
    assert other.digest == usual.digest
    swapped = (File(path="b", size=1, sha256=one), File(path="a", size=2, sha256=two))
    for files in ((a,), (), swapped):
        assert Manifest(kind="k", key="k", files=files, created="now").digest != usual.digest


def test_the_same_bytes_made_twice_anywhere_have_one_digest(tmp_path: Path) -> None:
    disk, memory = Store(tmp_path), Store(f"memory://{uuid.uuid4().hex}")
    first = finish(disk, "a", key="one")
    assert finish(memory, "b", dict(reversed(FILES.items())), key="two").digest == first.digest
    assert finish(disk, "c", FILES | {"a.bin": b"First"}).digest != first.digest
    assert finish(disk, "d", {"A.bin": b"first", "sub/b.bin": b"second"}).digest != first.digest


def test_the_manifest_is_written_last() -> None:
    store = Recorded(f"memory://{uuid.uuid4().hex}")
    finish(store)
    assert sorted(store.order[:2]) == ["p/a.bin", "p/sub/b.bin"]
    assert store.order[2:] == [f"p/{MANIFEST}"]


class Garbling(Store):
    """Changes or loses what it is told to while it is uploaded."""

    def __init__(self, url: str, path: str, kept: bytes | None) -> None:
        super().__init__(url)
        self.path, self.kept = path, kept

    def put(self, local: Path, path: str) -> None:
        if path != self.path:
            super().put(local, path)
        elif self.kept is not None:
            self.write(path, self.kept)


@pytest.mark.parametrize(("kept", "exclusive"), [
    (b"firsT", True), (b"first!", True), (b"", True), (None, True),
    (b"first!", False), (b"", False), (None, False),  # of what is not for good sizes are compared
])
def test_what_did_not_arrive_as_it_was_sent_gets_no_manifest(kept: bytes | None, exclusive: bool) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    with pytest.raises(StoreError, match=r"p/a\.bin: arrived with other bytes than were sent; .*run the same command"):
        finish(Garbling(url, "p/a.bin", kept), exclusive=exclusive)
    assert read_manifest(Store(url), "p") is None


def test_files_are_uploaded_several_at_once() -> None:
    together = threading.Barrier(3)

    class Slow(Store):
        def put(self, local: Path, path: str) -> None:
            together.wait(timeout=30)
            super().put(local, path)

    store = Slow(f"memory://{uuid.uuid4().hex}")
    manifest = finish(store, files={"a": b"1", "b": b"2", "c": b"3"})
    assert damaged_files(store, "p", manifest) == []
    assert store.sizes("p").keys() == {"a", "b", "c", MANIFEST}


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_a_half_written_prefix_is_not_there(fails_at: int) -> None:
    store = Recorded(f"memory://{uuid.uuid4().hex}", fails_at)
    with pytest.raises(ConnectionError):
        finish(store)
    assert len(store.sizes("p")) == fails_at
    assert read_manifest(store, "p") is None


@pytest.mark.parametrize("fails_at", [3, 4, 5])
@pytest.mark.parametrize("root", ["disk", "memory"])
def test_a_half_replaced_artefact_is_not_there_either(root: str, fails_at: int, tmp_path: Path) -> None:
    store = Recorded(str(tmp_path) if root == "disk" else f"memory://{uuid.uuid4().hex}")
    finish(store)
    store.order, store.fails_at = [""] * 3, fails_at
    with pytest.raises(ConnectionError):
        finish(store, files=dict.fromkeys(FILES, b"other"))
    assert read_manifest(store, "p") is None
    store.fails_at = None
    assert damaged_files(store, "p", finish(store)) == []


def test_an_artefact_whose_making_failed_is_not_there(store: Store) -> None:
    with pytest.raises(ConnectionError):
        fail_to_finish(store)
    assert store.sizes("p") == {}


def test_a_failed_making_leaves_what_stood_there(store: Store) -> None:
    before = finish(store)
    with pytest.raises(ConnectionError):
        fail_to_finish(store)
    assert read_manifest(store, "p") == before
    assert damaged_files(store, "p", before) == []


def test_what_stood_there_is_replaced(store: Store) -> None:
    finish(store)
    second = finish(store, files={"a.bin": b"a longer first"}, key="other")
    assert second.key == "other"
    assert [f.path for f in second.files] == ["a.bin"]
    assert read_named(store, "p", second, "a.bin") == b"a longer first"


def test_an_artefact_leaves_its_neighbours_below_the_same_prefix_alone(store: Store) -> None:
    store.write("p/checkpoints/1/state", b"x")
    manifest = finish(store)
    assert store.read("p/checkpoints/1/state") == b"x"
    assert [f.path for f in manifest.files] == sorted(FILES)


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_staging_is_left_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    disk, memory = Store(tmp_path / "store"), Store(f"memory://{uuid.uuid4().hex}")
    for store in (disk, memory):
        staged = []
        try:
            with artefact(store, "p", kind="test", key="k") as draft:
                (draft.path / "sub").mkdir()
                (draft.path / "sub" / "a").write_bytes(b"x")
                staged.append(draft.path)
                if ends == "badly":
                    raise ConnectionError
        except ConnectionError:
            pass
        assert list(staged[0].parent.iterdir()) == []
    assert disk.names("") == (["p"] if ends == "well" else [])
    assert disk.sizes(STAGING) == {}


def test_of_two_that_make_the_same_artefact_at_once_the_last_stands(store: Store) -> None:
    """Two starts of one command: neither may fail for the other."""
    both, failures = threading.Barrier(2), []

    def make(prefix: str) -> None:
        try:
            with artefact(store, prefix, kind="test", key="k") as draft:
                (draft.path / "a").write_bytes(b"x")
                both.wait()
        except Exception as error:
            failures.append(error)

    for prefix in ("p0", "p1", "p2", "p3", "p4"):
        run_all([threading.Thread(target=make, args=(prefix,)) for _ in range(2)])
        assert failures == []
        found = read_manifest(store, prefix)
        assert found is not None
        assert damaged_files(store, prefix, found) == []


def run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# Exclusive


@pytest.mark.parametrize("first_exclusive", [True, False])
def test_an_exclusive_artefact_loses_where_something_stands(store: Store, first_exclusive: bool) -> None:
    first = finish(store, exclusive=first_exclusive)
    with pytest.raises(FileExistsError):
        finish(store, files={"a.bin": b"later"}, key="other", exclusive=True)
    assert read_manifest(store, "p") == first
    assert damaged_files(store, "p", first) == []


def test_of_eight_exclusive_artefacts_exactly_one_wins(store: Store) -> None:
    start, won, lost = threading.Barrier(8), [], []

    def race(i: int) -> None:
        try:
            with artefact(store, "p", kind="test", key=str(i), exclusive=True) as draft:
                (draft.path / "a").write_bytes(bytes([i]) * 100)
                start.wait()
            won.append(i)
        except FileExistsError:
            lost.append(i)

    run_all([threading.Thread(target=race, args=(i,)) for i in range(8)])
    assert (len(won), len(lost)) == (1, 7)
    found = read_manifest(store, "p")
    assert found is not None
    assert found.key == str(won[0])
    assert read_named(store, "p", found, "a") == bytes(won) * 100


# Damage


def test_a_damaged_file_is_named_and_no_other(store: Store) -> None:
    manifest = finish(store)
    flip_a_bit(store, "p/sub/b.bin")
    (problem,) = damaged_files(store, "p", manifest)
    assert problem.startswith(f"{store.uri('p/sub/b.bin')}: is damaged: sha256 ")
    with pytest.raises(DamagedFile, match=r"p/sub/b\.bin: is damaged"):
        read_named(store, "p", manifest, "sub/b.bin")
    assert read_named(store, "p", manifest, "a.bin") == b"first"


def test_a_missing_and_a_short_file_are_named(store: Store) -> None:
    manifest = finish(store)
    store.delete("p/a.bin")
    store.write("p/sub/b.bin", b"sec")
    missing, short = damaged_files(store, "p", manifest)
    assert missing == f"{store.uri('p/a.bin')}: is missing, though its manifest lists it"
    assert short == f"{store.uri('p/sub/b.bin')}: is damaged: 3 bytes, its manifest says 6"
    with pytest.raises(DamagedFile, match="is missing"):
        read_file(store, "p", manifest.files[0])


def test_missing_files_looks_at_sizes_alone(store: Store) -> None:
    manifest = finish(store)
    flip_a_bit(store, "p/a.bin")
    assert missing_files(store, "p", manifest) == []
    store.write("p/a.bin", b"firs")
    assert missing_files(store, "p", manifest) == ["a.bin"]
    store.delete("p/sub/b.bin")
    assert missing_files(store, "p", manifest) == ["a.bin", "sub/b.bin"]


def test_a_file_that_the_manifest_does_not_list_is_not_read(store: Store) -> None:
    manifest = finish(store)
    store.write("p/extra", b"x")
    with pytest.raises(DamagedFile, match="its manifest lists no extra"):
        read_named(store, "p", manifest, "extra")
    assert missing_files(store, "p", manifest) == []


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"kind": "test"}', b"\xff\xfe"])
def test_a_manifest_that_cannot_be_understood_is_named(store: Store, text: bytes) -> None:
    finish(store)
    store.write(f"p/{MANIFEST}", text)
    with pytest.raises(DamagedFile, match=rf"p/{MANIFEST}: not a manifest: .*; remove it"):
        read_manifest(store, "p")


# Digests of settings


def test_a_digest_of_settings_does_not_depend_on_their_order_and_does_on_their_types() -> None:
    one, other = {"a": 1, "b": [1, {"d": 2, "c": 3}]}, {"b": [1, {"c": 3, "d": 2}], "a": 1}
    assert canonical_digest(one) == canonical_digest(other)
    different = [{"a": 1}, {"a": 1.0}, {"a": "1"}, {"a": True}, {"a": None}, {"a": [1]}, {}]
    assert len({canonical_digest(value) for value in different}) == len(different)


def test_a_digest_of_settings_is_known() -> None:
    # printf '{"a":"\\u00e9","b":[1,null]}' | sha256sum
    want = "9b10bedce64e86a275540261fbe95bc6c195bfb10d5def7a5fc12eefcc7d0a87"
    assert canonical_digest({"b": [1, None], "a": "é"}) == want


def test_no_digest_is_made_of_what_json_cannot_say() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_digest({"a": float("nan")})
