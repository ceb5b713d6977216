from __future__ import annotations

import os
import zipfile
from pathlib import Path

import fsspec
import pytest

from gan_core.data.files import Files, unsafe
from gan_core.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    for name in ("b/2.png", "a/1.png", "top.txt", ".hidden", "a/.DS_Store", "__MACOSX/a/1.png", ".git/config"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def paths(files: Files) -> list[str]:
    return [file.path for file in files.list()]


def test_every_file_is_listed_in_order_and_hidden_ones_are_not(folder: Path) -> None:
    assert paths(Files(folder)) == ["a/1.png", "b/2.png", "top.txt"]
    assert [file.size for file in Files(folder).list()] == [7, 7, 7]


def test_a_folder_a_zip_of_it_and_a_copy_in_memory_hold_the_same(folder: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in paths(Files(folder)):
            archive.write(folder / path, path)
            memory.pipe(f"/copied/{path}", (folder / path).read_bytes())
    for url in (folder, f"zip://*::{tmp_path}/set.zip", f"zip://::file://{tmp_path}/set.zip", "memory://copied"):
        files = Files(url)
        assert not files.is_file
        assert paths(files) == ["a/1.png", "b/2.png", "top.txt"]
        assert files.read("b/2.png", 100) == b"b/2.png"


def test_one_file_is_listed_by_its_name_and_read_without_it(folder: Path) -> None:
    files = Files(folder / "a/1.png")
    assert files.is_file
    assert paths(files) == ["1.png"]
    assert files.read("", 7) == b"a/1.png"


def test_a_file_larger_than_the_limit_is_not_read(folder: Path) -> None:
    with pytest.raises(DataError, match=r"top.txt: is larger than 6 bytes; raise limits.bytes"):
        Files(folder).read("top.txt", 6)


def test_more_files_than_the_limit_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="holds more than 2 files"):
        Files(folder).list(2)


@pytest.mark.parametrize("kind", ["file", "folder", "above", "itself", "nowhere"])
def test_a_link_out_of_the_set_is_refused(folder: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key.png").write_bytes(b"key")
    target = {"file": tmp_path / "secret/key.png", "folder": tmp_path / "secret", "above": tmp_path,
              "itself": folder, "nowhere": folder / "gone.png"}[kind]
    (folder / "a/link").symlink_to(target)
    with pytest.raises(DataError, match=r"a/link: (is a link to .*outside the set|cannot be read: No such file)"):
        Files(folder).list()


def test_a_link_within_the_set_is_read(folder: Path) -> None:
    (folder / "c").symlink_to(folder / "a")
    (folder / "same.txt").symlink_to(folder / "top.txt")
    assert paths(Files(folder)) == ["a/1.png", "b/2.png", "c/1.png", "same.txt", "top.txt"]


def test_a_set_that_is_itself_reached_by_a_link_is_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert paths(Files(tmp_path / "link")) == ["a/1.png", "b/2.png", "top.txt"]


def test_a_pipe_is_no_file_of_a_set(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    assert "pipe.png" not in paths(Files(folder))


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "C:\\x", "c:/x", "..\\x", "a\\..\\x", "a\0b"])
def test_a_path_that_could_lead_outside_is_unsafe_and_not_opened(folder: Path, path: str) -> None:
    assert unsafe(path)
    with pytest.raises(DataError, match="points outside"), Files(folder).open(path):
        pass


@pytest.mark.parametrize("path", ["a/1.png", "a..b/c", "..a", "é/ü.png", "a/b:c"])
def test_an_ordinary_path_is_safe(path: str) -> None:
    assert not unsafe(path)


def test_the_stamp_changes_with_a_name_a_size_or_a_time(folder: Path) -> None:
    seen = {Files(folder).stamp()}
    for change in (lambda: (folder / "top.txt").write_bytes(b"longer now"), lambda: (folder / "new").write_bytes(b""),
                   lambda: (folder / "new").rename(folder / "newer"), lambda: os.utime(folder / "newer", (1, 1))):
        change()
        seen.add(Files(folder).stamp())
    assert len(seen) == 5
    assert Files(folder).stamp() in seen


@pytest.mark.parametrize(
    ("url", "kind", "why"),
    [
        ("nothing/there", DataError, "nothing/there: is not there; a directory, a file, s3://"),
        ("nope://x", ConfigError, "nope://x: .*nope; a directory"),
        ("zip://*::nothing.zip", DataError, "nothing.zip: is not there"),
        ("memory://nothing-there", DataError, "is not there"),
    ],
)
def test_a_url_of_nothing_is_answered_with_what_works(url: str, kind: type[Exception], why: str) -> None:
    with pytest.raises(kind, match=why):
        Files(url).list()


def test_what_is_no_archive_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"not a zip")
    with pytest.raises(DataError, match=r"x.zip: is not a whole archive"):
        Files(f"zip://*::{tmp_path}/x.zip")
