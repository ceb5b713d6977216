"""`gan models pull`: from any store into a folder, whole or not at all."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
from numpy.testing import assert_array_equal
from rich.console import Console
from typer.testing import CliRunner, Result

from gan_core.bundle import load_generator
from gan_core.errors import ConfigError, DamagedFile, GanError, StoreError
from gan_core.manifest import MANIFEST, File
from gan_core.store import Store
from pipelines import pull as pulling
from pipelines.cli_models import models
from pipelines.cli_sample import sample
from pipelines.pull import pull
from tests.artefacts import ROOT, flip_a_byte, publish_one
from tests.s3_server import S3Server, s3_server

VERSION = "models/digits/versions/0001"
PART = {"MANIFEST.json", "README.md", "generator.json", "generator.onnx", "generator.safetensors", "metrics.json"}

app = typer.Typer()
app.add_typer(models, name="models")
app.command("sample")(sample)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a champion that no test changes."""
    store = Store(tmp_path_factory.mktemp("published") / "store")
    publish_one(store)
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    publish_one(made)
    return made


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server("pulled", "a-secret") as running:
        yield running


@pytest.fixture(scope="module")
def bucket(server: S3Server) -> Store:
    made = Store("s3://pulled/gans")
    publish_one(made)
    return made


def gan(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, GanError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_copy_has_the_versions_bytes_and_works_like_it(whole: Store, tmp_path: Path) -> None:
    copy = tmp_path / "new" / "digits"
    said = gan("models", "pull", "digits@champion", "--to", str(copy), "--store", whole.url, "--json")
    told = json.loads(said.stdout)
    assert content(copy) == content(whole.local_path(VERSION))
    assert told == {
        "uri": whole.uri(VERSION), "folder": str(copy), "fetched": True,
        "bytes": sum(len(data) for name, data in content(copy).items() if name != MANIFEST),
        "files": sorted(content(copy).keys() - {MANIFEST}),
    }
    assert [path.name for path in copy.parent.iterdir()] == ["digits"]
    assert "files whole" in gan("models", "verify", str(copy)).stdout
    gan("models", "show", str(copy))
    assert_array_equal(load_generator(str(copy)).sample(4), load_generator(whole.uri(VERSION)).sample(4))


def test_a_copy_is_an_address_by_its_name_in_this_folder(
    whole: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gan("models", "pull", "digits", "--to", "Copied", "--store", whole.url)
    told = json.loads(gan("sample", "Copied", "--n", "4", "--out", "a.png", "--json").stdout)
    assert told["uri"] == Store(tmp_path).uri("Copied")
    assert_array_equal(load_generator("Copied").sample(2), load_generator(whole.uri(VERSION)).sample(2))


def test_a_model_of_the_store_is_meant_before_a_folder_of_that_name(
    whole: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pull(whole, VERSION, Path("digits"))
    told = json.loads(gan("sample", "digits", "--n", "4", "--out", "a.png", "--store", whole.url, "--json").stdout)
    assert told["uri"] == whole.uri(VERSION)


def test_a_folder_that_holds_the_version_is_left_alone(whole: Store, tmp_path: Path) -> None:
    pull(whole, VERSION, tmp_path / "copy")
    before = (tmp_path / "copy").stat().st_ino
    again = gan("models", "pull", "digits", "--to", str(tmp_path / "copy"), "--store", whole.url)
    assert "all of it is there already" in again.stderr
    assert (tmp_path / "copy").stat().st_ino == before
    assert not pull(whole, VERSION, tmp_path / "copy", "generator").fetched


def test_an_empty_folder_is_filled(whole: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert pull(whole, VERSION, tmp_path / "empty").fetched
    assert (tmp_path / "empty" / MANIFEST).exists()


def test_a_folder_that_holds_something_else_is_refused_and_kept(whole: Store, tmp_path: Path) -> None:
    for name in ("notes", "other", "part", "file"):
        (tmp_path / name).mkdir() if name != "file" else (tmp_path / name).touch()
    (tmp_path / "notes/notes.txt").write_text("mine")
    (tmp_path / "notes" / MANIFEST).write_text('{"by": "another program"}')
    other = Store(tmp_path / "store")
    publish_one(other, seed=1)
    pull(other, VERSION, tmp_path / "other")
    pull(whole, VERSION, tmp_path / "part", "generator")
    for name in ("notes", "other", "part", "file"):
        before = content(tmp_path / name)
        with pytest.raises(ConfigError, match=rf"--to .*{name}: holds something else than .*--to .*{name}-2 works"):
            pull(whole, VERSION, tmp_path / name)
        assert content(tmp_path / name) == before


def test_a_damaged_copy_is_named(whole: Store, tmp_path: Path) -> None:
    pull(whole, VERSION, tmp_path / "copy")
    flip_a_byte(Store(tmp_path / "copy"), "generator.safetensors")
    with pytest.raises(DamagedFile, match=r"generator\.safetensors: is damaged.*remove .*copy, and run the same"):
        pull(whole, VERSION, tmp_path / "copy")


def test_the_folder_one_is_in_is_refused(whole: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"--to \.: is the folder that you are in.*--to model works"):
        pull(whole, VERSION, Path())


def test_a_folder_that_cannot_be_made_is_refused(whole: Store, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--to .*file cannot be made"):
        pull(whole, VERSION, tmp_path / "file" / "copy")


def test_the_generator_alone_is_a_whole_version_of_fewer_files(whole: Store, tmp_path: Path) -> None:
    gan("models", "pull", "digits", "--only", "generator", "--to", str(tmp_path / "copy"), "--store", whole.url)
    assert content(tmp_path / "copy").keys() == PART
    assert "files whole" in gan("models", "verify", str(tmp_path / "copy")).stdout
    gan("models", "show", str(tmp_path / "copy"))
    assert load_generator(str(tmp_path / "copy")).sample(1).shape == (1, 1, 8, 8)
    with pytest.raises(ConfigError, match="--only weights: is no part of a version; --only generator works"):
        pull(whole, VERSION, tmp_path / "weights", "weights")


def test_what_has_no_generator_has_no_such_part(whole: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"scores/e1 has no generator\.json; without --only all of it is downloaded"):
        pull(whole, "scores/e1", tmp_path / "copy", "generator")


# Whole or not at all


@pytest.mark.parametrize("name", ["generator.safetensors", "README.md"])
def test_nothing_is_left_where_a_file_is_damaged_or_missing(store: Store, tmp_path: Path, name: str) -> None:
    flip_a_byte(store, f"{VERSION}/{name}")
    with pytest.raises(DamagedFile, match=rf"{name}: is damaged"):
        pull(store, VERSION, tmp_path / "copies" / "copy")
    store.delete(f"{VERSION}/{name}")
    with pytest.raises(DamagedFile, match=rf"{name}: is missing"):
        pull(store, VERSION, tmp_path / "copies" / "copy")
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_version_is_pulled_from_a_bucket_by_its_alias(bucket: Store, tmp_path: Path) -> None:
    gan("models", "pull", f"{bucket.url}/models/digits@latest", "--to", str(tmp_path / "copy"))
    sizes = {name: len(data) for name, data in content(tmp_path / "copy").items()}
    assert {**sizes, "CLAIM.json": bucket.sizes(VERSION)["CLAIM.json"]} == bucket.sizes(VERSION)
    gan("models", "verify", str(tmp_path / "copy"))


def test_nothing_is_left_where_a_bucket_refuses_one_of_the_files(
    server: S3Server, bucket: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "fault", lambda method, path: (403, "AccessDenied") if "report" in path else None)
    with pytest.raises(StoreError, match=r"report\.\w+"):
        pull(bucket, VERSION, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from gan_core.store import Store
from pipelines import pull

fetch, begun = pull._fetch, []

def dies(store, prefix, built, file):
    begun.append(file.path)
    if file.path == "metrics.json":
        os.kill(os.getpid(), signal.SIGKILL)
    fetch(store, prefix, built, file)

pull._fetch, pull.AT_ONCE = dies, 1
pull.pull(Store(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
"""


def test_a_killed_pull_leaves_no_folder_and_the_next_one_clears_up(whole: Store, tmp_path: Path) -> None:
    words = [sys.executable, "-c", KILLED, whole.url, VERSION, str(tmp_path / "copy")]
    assert subprocess.run(words, cwd=ROOT, env=os.environ, check=False).returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [".staging"]
    assert pull(whole, VERSION, tmp_path / "copy").fetched
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_of_two_at_once_one_is_there(whole: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = pulling._fetch

    def beaten(store: Store, prefix: str, built: Path, file: File) -> None:
        fetch(store, prefix, built, file)
        (tmp_path / "copy").mkdir(exist_ok=True)
        (tmp_path / "copy" / "first").touch()

    monkeypatch.setattr(pulling, "_fetch", beaten)
    with pytest.raises(ConfigError, match="came to be while files were downloaded"):
        pull(whole, VERSION, tmp_path / "copy")
    assert content(tmp_path) == {"copy/first": b""}


def test_what_does_not_fit_on_the_disk_is_refused_before_it_is_fetched(
    whole: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "_fetch", None)
    monkeypatch.setattr(pulling.shutil, "disk_usage", lambda place: pulling.shutil._ntuple_diskusage(9, 9, 1000))
    with pytest.raises(StoreError, match=r"has [\d,]+ bytes, and .* has 1,000 bytes free; make room, or name"):
        pull(whole, VERSION, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


# Manifests by strangers


@pytest.mark.parametrize(("path", "why"), [
    ("../../out", r"'\.\./\.\./out' is no path below the artefact"),
    ("a" * 256, "is longer than a file's path may be"),
    ("README.md/a", "'README.md' is listed as a file and as a folder"),
])
def test_a_manifest_that_no_folder_can_hold_writes_nothing(store: Store, tmp_path: Path, path: str, why: str) -> None:
    manifest = json.loads(store.read(f"{VERSION}/{MANIFEST}"))
    manifest["files"].append({"path": path, "size": 1, "sha256": "0" * 64})
    store.write(f"{VERSION}/{MANIFEST}", json.dumps(manifest).encode())
    with pytest.raises(DamagedFile, match=why):
        pull(store, VERSION, tmp_path / "copies" / "copy")
    assert not (tmp_path / "copies").exists()


def test_a_file_of_another_size_is_not_fetched(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    get = Store.get
    monkeypatch.setattr(Store, "get", lambda self, path, local: (fetched.append(path), get(self, path, local)))
    path = f"{VERSION}/generator.safetensors"
    store.write(path, store.read(path) + b"more")
    with pytest.raises(DamagedFile, match=r"generator\.safetensors: is damaged: \d+ bytes, its manifest says"):
        pull(store, VERSION, tmp_path / "copy")
    assert path not in fetched


# What is seen, and other places


def test_a_terminal_sees_how_far_it_is(
    whole: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        pulling, "console", lambda: Console(stderr=True, force_terminal=True, width=100, color_system=None)
    )
    pull(whole, VERSION, tmp_path / "copy")
    files = len(content(tmp_path / "copy")) - 1
    assert re.search(rf"{files} files ━+ ([\d.]+)/\1 kB", capsys.readouterr().err)


class Listless(SimpleHTTPRequestHandler):
    """Files by name alone, as most web servers give them."""

    def list_directory(self, path: Any) -> None:
        self.send_error(404)

    def log_message(self, *said: object) -> None:
        """Nothing."""


def test_a_version_is_pulled_from_a_web_server_that_lists_nothing(whole: Store, tmp_path: Path) -> None:
    def answer(*request: Any) -> Listless:
        return Listless(*request, directory=str(whole.local_path("")))

    with ThreadingHTTPServer(("127.0.0.1", 0), answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        gan("models", "pull", f"http://127.0.0.1:{server.server_port}/{VERSION}", "--to", str(tmp_path / "copy"))
        server.shutdown()
    assert content(tmp_path / "copy") == content(whole.local_path(VERSION))
