"""When a data set's bytes are read to know what it holds, and when its listing is enough."""

from __future__ import annotations

import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from gan_core.data import fingerprints
from gan_core.data.files import Files
from gan_core.data.fingerprints import fingerprint, joint_fingerprint, remembered
from gan_core.data.sources.table import Parquet
from gan_core.errors import StoreError
from gan_core.store import Store
from tests.data.image_samples import bucket  # noqa: F401 - a fixture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "set" / "inner").mkdir(parents=True)
    (tmp_path / "set" / "a.bin").write_bytes(b"first")
    (tmp_path / "set" / "inner" / "b.bin").write_bytes(b"other")
    return tmp_path / "set"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files were written long ago."""
    monkeypatch.setattr(fingerprints, "SETTLED_NS", -(10**15))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read."""
    read: list[str] = []
    real = fingerprints._sha256
    monkeypatch.setattr(fingerprints, "_sha256", lambda files, path: (read.append(path), real(files, path))[1])
    return read


def of(store: Store, url: Path | str, verify: bool = False) -> str:
    with remembered(store, verify=verify):
        return fingerprint(Files(url))


def test_a_copy_with_other_dates_has_the_same_fingerprint(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    os.utime(tmp_path / "copy" / "a.bin", (1, 1))
    assert fingerprint(Files(tmp_path / "copy")) == fingerprint(Files(folder))


def test_it_changes_with_the_bytes_and_the_names(folder: Path) -> None:
    seen = [fingerprint(Files(folder))]
    (folder / "a.bin").write_bytes(b"FIRST")
    seen.append(fingerprint(Files(folder)))
    (folder / "a.bin").rename(folder / "c.bin")
    seen.append(fingerprint(Files(folder)))
    assert len(set(seen)) == 3


@pytest.mark.usefixtures("settled")
def test_an_unchanged_set_is_read_once(folder: Path, store: Store, reads: list[str]) -> None:
    first = of(store, folder)
    assert reads == ["a.bin", "inner/b.bin"]
    assert of(Store(store.url), folder) == first == fingerprint(Files(folder))
    assert reads[2:] == ["a.bin", "inner/b.bin"]  # by the last, which remembers nothing


@pytest.mark.usefixtures("settled")
def test_bytes_that_changed_under_the_same_size_and_date_are_seen(folder: Path, store: Store) -> None:
    before, date = of(store, folder), (folder / "a.bin").stat().st_mtime_ns
    (folder / "a.bin").write_bytes(b"FIRST")
    os.utime(folder / "a.bin", ns=(date, date))
    assert of(store, folder) != before


def test_what_was_written_a_moment_ago_may_change_unseen_and_is_read_again(
    folder: Path, store: Store, reads: list[str]
) -> None:
    assert of(store, folder) == of(store, folder)
    assert reads == ["a.bin", "inner/b.bin"] * 2
    assert store.names("fingerprints") == []


@pytest.mark.usefixtures("settled")
def test_verifying_reads_everything_and_later_plans_go_by_it(folder: Path, store: Store, reads: list[str]) -> None:
    true = of(store, folder)
    (kept,) = store.names("fingerprints")
    store.write(f"fingerprints/{kept}", b'{"content": "0", "fingerprint": "0"}')
    assert of(store, folder) == "0"
    assert of(store, folder, verify=True) == true == of(store, folder)
    assert len(reads) == 4


@pytest.mark.usefixtures("settled")
def test_a_set_that_changes_while_it_is_read_is_not_remembered(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fingerprints._sha256

    def late(files: Files, path: str) -> str:
        (folder / "late.bin").write_bytes(b"late")
        return real(files, path)

    monkeypatch.setattr(fingerprints, "_sha256", late)
    of(store, folder)
    assert store.names("fingerprints") == []


@pytest.mark.usefixtures("settled")
def test_a_damaged_note_is_as_none(folder: Path, store: Store) -> None:
    true = of(store, folder)
    store.write(f"fingerprints/{store.names('fingerprints')[0]}", b"{")
    assert of(store, folder) == true


@pytest.mark.usefixtures("settled")
def test_a_store_that_cannot_be_written_costs_no_more_than_reading_again(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise StoreError("read only")

    monkeypatch.setattr(Store, "write", refused)
    assert of(store, folder) == fingerprint(Files(folder))


def test_objects_that_a_store_names_are_not_read(store: Store, reads: list[str], bucket: str) -> None:  # noqa: F811
    for name in ("a", "b"):
        with fsspec.open(f"{bucket}/{name}", "wb") as file:
            file.write(name.encode())
    before = of(store, bucket)
    with fsspec.open(f"{bucket}/b", "wb") as file:
        file.write(b"c")
    assert of(store, bucket) != before
    assert reads == []


def test_a_member_of_a_zip_is_known_by_its_checksum(tmp_path: Path, store: Store, reads: list[str]) -> None:
    seen = set()
    for data in (b"one", b"two"):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr(zipfile.ZipInfo("a.txt"), data)
        seen.add(of(store, f"zip://*::{tmp_path}/x.zip"))
    assert len(seen) == 2
    assert reads == []


def test_verifying_finds_what_changed_under_names_that_did_not(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.txt"), b"one")
    url = f"zip://*::{tmp_path}/x.zip"
    named = of(store, url)
    assert of(store, url, verify=True) == named  # the first look has nothing to compare with
    monkeypatch.setattr(fingerprints, "_sha256", lambda files, path: "other")
    changed = of(store, url, verify=True)
    assert changed != named
    assert of(store, url) == of(store, url, verify=True) == changed


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(folder: Path) -> Iterator[str]:
    """A web server that tells a file's date and no ETag."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("settled")
def test_a_file_on_a_web_server_is_read_once_for_each_date_that_it_has(
    folder: Path, web: str, store: Store, reads: list[str]
) -> None:
    first = of(store, f"{web}/a.bin")
    assert of(store, f"{web}/a.bin") == first == fingerprint(Files(folder / "a.bin"))
    (folder / "a.bin").write_bytes(b"FIRST")
    os.utime(folder / "a.bin", (2_000_000, 2_000_000))
    assert of(store, f"{web}/a.bin") != first
    assert reads == ["a.bin"] * 3  # one of them of the local copy


def test_only_the_files_that_a_pattern_matches_count(folder: Path) -> None:
    before = Parquet(url=f"{folder}/*.bin").fingerprint()
    (folder / "other.txt").write_bytes(b"no table")
    assert Parquet(url=f"{folder}/*.bin").fingerprint() == before
    (folder / "c.bin").write_bytes(b"one more")
    assert Parquet(url=f"{folder}/*.bin").fingerprint() != before


def test_the_order_of_several_sets_counts(folder: Path) -> None:
    a, b = Files(folder / "a.bin"), Files(folder / "inner")
    assert joint_fingerprint([a, b]) != joint_fingerprint([b, a])


@pytest.mark.usefixtures("settled")
def test_much_to_read_is_told_beforehand(folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "WORTH_SAYING", 9)
    told: list[str] = []
    for _ in range(2):
        with remembered(store, note=told.append):
            fingerprint(Files(folder))
    assert told == [f"reading 0.0 GiB of {folder} to know what it holds"]
