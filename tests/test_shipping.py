"""What a job brings along: the same bytes for the same code, all of it, and nothing that is no code."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from gan_core.errors import ConfigError
from pipelines import shipping
from pipelines.commit import commit
from pipelines.shipping import packed

HERE = Path(__file__).parent.parent


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two small packages instead of ours."""
    for name in shipping.PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"name = {name!r}\n")
    monkeypatch.setattr(shipping, "_folder", lambda package: tmp_path / package)
    return tmp_path


def names(content: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


def test_the_same_code_is_the_same_bytes_wherever_and_whenever_it_was_written(
    code: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = packed().content
    copied = tmp_path_factory.mktemp("elsewhere")
    for name in reversed(shipping.PACKAGES):
        shutil.copytree(code / name, copied / name)
        os.utime(copied / name / "__init__.py", (1e9, 1e9))
    monkeypatch.setattr(shipping, "_folder", lambda package: copied / package)
    assert packed().content == before
    (copied / "pipelines" / "__init__.py").write_text("name = 1\n")
    assert packed().content != before


def test_caches_and_what_lies_beside_are_left_out_and_said(code: Path) -> None:
    (code / "gan_core" / "__pycache__").mkdir()
    for left_out in ("__pycache__/a.pyc", ".hidden.swp", "old.pyc"):
        (code / "gan_core" / left_out).write_text("")
    (code / "store").mkdir()
    (code / "store" / "weights.bin").write_text("")
    (code / "pipelines" / "page.html").write_text("")
    parcel = packed()
    shipped = [name for name in names(parcel.content) if name.startswith(shipping.PACKAGES)]
    assert shipped == ["gan_core/__init__.py", "pipelines/__init__.py", "pipelines/page.html"]
    assert parcel.told == ("ships gan_core, pipelines to the cluster: 3 files, 0.0 MiB as a zip; left out: 3 files of "
                           "caches, and all that lies beside (tests, data, stores, .git)")


def test_what_is_too_large_to_be_code_is_named_with_what_works(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code / "pipelines" / "weights.bin").write_bytes(bytes(3 * 2**20))
    monkeypatch.setattr(shipping, "LIMIT", 2 * 2**20)
    with pytest.raises(ConfigError, match=r"has 3.0 MiB, more than 2 MiB, and .*pipelines/weights.bin 3.0 of them; .*"
                                          r"ray.ship=none works"):
        packed()


def test_two_plug_in_files_of_one_name_cannot_be_shipped(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [code / folder / "plug.py" for folder in ("gan_core", "pipelines")]
    for file in files:
        file.write_text("")
    monkeypatch.setenv("GAN_PLUGINS", os.pathsep.join(map(str, files)))
    with pytest.raises(ConfigError, match=r"pipelines/plug.py: is called like .*gan_core/plug.py; rename one"):
        packed()


def test_what_is_shipped_runs_before_what_is_installed_with_its_version_its_commit_and_its_plug_ins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug_in = tmp_path / "plug.py"
    plug_in.write_text("seen = True\n")
    monkeypatch.setenv("GAN_PLUGINS", str(plug_in))
    parcel, there = packed(), tmp_path / "there"
    zipfile.ZipFile(io.BytesIO(parcel.content)).extractall(there)
    program = ("import gan_core, pipelines.stage_job; from pipelines.commit import commit; from gan_core import "
               "plugin_files; from importlib.metadata import version; print(gan_core.__file__, "
               "pipelines.stage_job.__file__, *plugin_files.named(), version('gan-pipelines'), commit(), sep='\\n')")
    environment = {**os.environ, "PYTHONPATH": str(there), "GAN_PLUGINS": parcel.plug_ins}
    said = subprocess.run([sys.executable, "-P", "-c", program], cwd=HERE, env=environment, capture_output=True,
                          text=True, check=True).stdout.splitlines()
    assert said == [f"{there}/gan_core/__init__.py", f"{there}/pipelines/stage_job.py", f"{there}/plug_ins/plug.py",
                    version("gan-pipelines"), commit()]
    assert {path.relative_to(HERE).as_posix() for name in shipping.PACKAGES for path in (HERE / name).rglob("*.*")
            if path.suffix != ".pyc"} <= set(names(parcel.content))
