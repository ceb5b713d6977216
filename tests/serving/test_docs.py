"""docs/serving.md does what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import fields
from pathlib import Path

import httpx
import pytest
import typer
from typer.testing import CliRunner

from gan_core.store import Store
from pipelines.cli import app
from pipelines.models import set_alias
from pipelines.serving.limits import MAX_BODY, Limits
from pipelines.serving.metrics import Metrics
from pipelines.serving.reload import Source
from tests.artefacts import finish_run, finish_scores, publish_as
from tests.serving.process import listening

PAGE = (Path(__file__).parents[2] / "docs/serving.md").read_text()
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
            for line in block.splitlines()]


def test_its_requests_are_answered(published: Store, tmp_path: Path) -> None:
    asked = [line for line in COMMANDS if line.startswith("curl ")]
    with listening(published, Source("digits", published).load()) as url:
        for line in asked:
            words = shlex.split(line.replace("http://127.0.0.1:8000", url))
            subprocess.run([words[0], "--fail", "--silent", *words[1:]], cwd=tmp_path, check=True)
    assert len(asked) == 4
    assert {path.name: path.read_bytes()[:4] for path in tmp_path.iterdir()} == {
        "grid.png": b"\x89PNG", "threes.npy": b"\x93NUM", "asked.png": b"\x89PNG"}


def test_its_commands_move_the_alias(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for number in ("1", "2"):
        run = finish_run(store, f"r{number}", seed=int(number))
        publish_as(store, f"p{number}", run, finish_scores(store, run, f"e{number}"))
    set_alias(store, "digits", "champion", "0001", why="first")
    moves = [line for line in COMMANDS if line.startswith("gan models ")]
    for line, version in zip(moves, ("0002", "0001"), strict=True):
        done = CliRunner().invoke(app, [*shlex.split(line)[1:], "--store", store.url])
        assert done.exit_code == 0, done.output
        assert Source("digits@champion", store).uri().endswith(version)


def test_its_serve_commands_name_options_that_there_are() -> None:
    command = typer.main.get_command(app).commands["serve-model"]
    known = {option for parameter in command.params for option in parameter.opts}
    named = set(re.findall(r"--[a-z]+[a-z-]*", PAGE)) - {"--reason"}
    assert len(named) >= 7
    assert named <= known


def test_its_limits_are_the_defaults() -> None:
    told = dict(re.findall(r"^\| `--([a-z-]+)` \| (\d+) \|", PAGE, re.MULTILINE))
    assert told == {limit.name.replace("_", "-"): f"{limit.default:g}" for limit in fields(Limits)}
    assert f"{MAX_BODY:,} bytes" in PAGE


def test_its_series_are_those_that_there_are() -> None:
    told = {name.removesuffix("_total") for name in re.findall(r"^\| `(gan_\w+)", PAGE, re.MULTILINE)}
    assert told == {found.name for found in Metrics().registry.collect() if found.name.startswith("gan_")}


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/openapi.json", "/"])
def test_its_paths_are_there(published: Store, path: str) -> None:
    assert f"`GET {path}`" in PAGE
    with listening(published, Source("digits", published).load()) as url:
        assert httpx.get(f"{url}{path}").status_code == 200
