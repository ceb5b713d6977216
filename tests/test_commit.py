"""The commit of the code: of the checkout that tracks it, and of no other."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pipelines.commit import commit


def git(folder: Path, *words: str) -> str:
    named = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    done = subprocess.run(["git", *named, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A module of a package in a checkout with one commit."""
    commit.cache_clear()
    module = tmp_path / "pipelines" / "module.py"
    module.parent.mkdir()
    module.write_text("a = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    return module


def test_a_checkout_has_a_commit_and_says_when_its_code_was_changed(file: Path) -> None:
    head = git(file.parent, "rev-parse", "HEAD")
    (file.parents[1] / "notes.txt").write_text("no code\n")
    assert commit(file) == head
    file.with_name("new.py").write_text("b = 2\n")
    commit.cache_clear()
    assert commit(file) == f"{head} (modified)"


def test_a_package_that_is_installed_inside_another_checkout_has_none(file: Path) -> None:
    installed = file.parents[1] / "site-packages" / "pipelines" / "module.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("a = 1\n")
    assert commit(installed) == ""


def test_without_a_checkout_or_git_there_is_none(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert commit(file) == ""
    assert commit(Path(re.__file__)) == ""


def test_where_a_hook_of_another_checkout_runs_it_is_still_our_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert re.fullmatch("[0-9a-f]{40}", commit(file))
