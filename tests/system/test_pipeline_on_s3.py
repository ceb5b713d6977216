"""The whole pipeline on a real S3 store: what it leaves there, what others read there, and where no secret may be."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gan_core.store import Store
from tests.pipeline import EXPERIMENT, Prefect, gan, settings
from tests.system.ceph import SECRET, own_bucket

pytestmark = pytest.mark.system

AWS = Path(sys.executable).with_name("aws")


@dataclass(frozen=True)
class Made:
    """A pipeline that ran once.  folder: holds every file that it left on this machine."""

    store: Store
    prefect: Prefect
    folder: Path
    printed: dict[str, object]

    @property
    def words(self) -> list[str]:
        """Of the command that made it."""
        return ["run", EXPERIMENT, "--store", self.store.url, *settings("train.images=2560"), "--json"]


@pytest.fixture(scope="module")
def made(ceph: dict[str, str]) -> Iterator[Made]:
    folder = Path(tempfile.mkdtemp(prefix="s3-"))  # Ray's sockets have paths of a hundred characters at most
    with own_bucket(ceph) as bucket, pytest.MonkeyPatch.context() as patch:
        for name in ("TMPDIR", "RAY_TMPDIR", "XDG_CACHE_HOME"):
            (folder / name).mkdir()
            patch.setenv(name, str(folder / name))
        run = Made(Store(f"{bucket}/team"), Prefect(folder / "prefect"), folder, {})
        done = gan(run.prefect, *run.words)
        assert done.returncode == 0, done.stderr
        (folder / "printed").write_text(done.stdout + done.stderr)
        yield Made(run.store, run.prefect, folder, json.loads(done.stdout))
    shutil.rmtree(folder, ignore_errors=True)


def test_a_version_is_published_champion_and_a_second_run_finds_all_done(made: Made) -> None:
    assert [stage["status"] for stage in made.printed["stages"]] == ["RUN"] * 4  # type: ignore[index, attr-defined]
    shown = gan(made.prefect, "models", "show", "digits@champion", "--store", made.store.url, "--json")
    assert json.loads(shown.stdout)["version"] == "0001", shown.stderr
    before = made.store.sizes("models")
    again = gan(made.prefect, *made.words)
    assert [stage["status"] for stage in json.loads(again.stdout)["stages"]] == ["REUSED"] * 4
    assert made.store.sizes("models") == before


def test_what_is_there_is_verified_and_sampled_from(made: Made, tmp_path: Path) -> None:
    verified = gan(made.prefect, "models", "verify", "digits@champion", "--store", made.store.url)
    assert verified.returncode == 0, verified.stderr
    sampled = gan(made.prefect, "sample", "digits", "--store", made.store.url, "--n", "4", "--out", tmp_path / "a.png")
    assert sampled.returncode == 0, sampled.stderr
    assert (tmp_path / "a.png").stat().st_size > 100


def test_amazons_own_client_reads_the_bytes_that_the_manifest_promises(made: Made, tmp_path: Path) -> None:
    source = f"{made.store.url}/models/digits/versions/0001/"
    subprocess.run([AWS, "s3", "cp", "--recursive", "--quiet", source, tmp_path], check=True, timeout=120)
    files = json.loads((tmp_path / "MANIFEST.json").read_text())["files"]
    own = {"MANIFEST.json", "CLAIM.json"}  # the second says whose version it is while it is made
    assert {file["path"] for file in files} == {path.name for path in tmp_path.iterdir()} - own
    for file in files:
        assert hashlib.sha256((tmp_path / file["path"]).read_bytes()).hexdigest() == file["sha256"]


def test_no_object_log_pickle_or_manifest_holds_the_secret(made: Made) -> None:
    objects = list(made.store.sizes(""))
    assert len(objects) > 30
    assert not [path for path in objects if SECRET.encode() in made.store.read(path)]
    ours = [path for path in made.folder.rglob("*") if path.is_file()]
    assert {"printed", "prefect.db"} <= {path.name for path in ours}
    assert any("session_" in str(path) for path in ours), "Ray's logs"
    assert not [path for path in ours if SECRET.encode() in path.read_bytes()]
