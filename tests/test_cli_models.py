from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from gan_core.errors import ConfigError, GanError
from gan_core.manifest import sha256_of
from gan_core.store import Store
from pipelines.cli_models import models
from pipelines.cli_sample import sample
from tests.artefacts import (
    an_experiment,
    flip_a_byte,
    publish_one,
)
from tests.compared import a_version, measured

VERSION = "models/digits/versions/0001"

app = typer.Typer()
app.add_typer(models, name="models")
app.command("sample")(sample)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with one champion that no test changes."""
    store = Store(tmp_path_factory.mktemp("published") / "store")
    publish_one(store)
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    publish_one(made)
    return made


@pytest.fixture
def memory() -> Iterator[Store]:
    made = Store("memory://cli-models")
    yield made
    made.delete("")


def gan(store: Store, *arguments: str) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--store", store.url])
    if isinstance(result.exception, GanError):
        raise result.exception
    return result


def as_json(store: Store, *arguments: str) -> Any:
    result = gan(store, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_show_prints_exactly_what_machines_read(whole: Store) -> None:
    shown = as_json(whole, "models", "show", "digits@latest")
    assert list(shown) == ["version", "uri", "aliases", "inputs", "metrics", "files", "lineage"]
    assert shown["inputs"] == {"label": {"kind": "categorical", "values": 10}}
    assert (shown["version"], shown["aliases"]) == ("0001", ["champion", "latest"])
    assert shown["uri"] == f"{whole.url}/{VERSION}"
    assert shown["metrics"] == json.loads(whole.read("scores/e1/metrics.json"))


def test_show_lists_every_file_but_the_manifest_as_it_lies_there(whole: Store) -> None:
    files = as_json(whole, "models", "show", "digits")["files"]
    folder = whole.local_path(VERSION)
    assert {f["path"] for f in files} == {p.name for p in folder.iterdir()} - {"MANIFEST.json"}
    for file in files:
        assert list(file) == ["path", "size", "sha256"]
        assert file["size"] == (folder / file["path"]).stat().st_size
        assert file["sha256"] == sha256_of(folder / file["path"])


def test_show_follows_the_lineage_from_the_data_to_the_version(whole: Store) -> None:
    lineage = as_json(whole, "models", "show", "digits")["lineage"]
    assert [p["kind"] for p in lineage] == ["shards", "run", "scores", "version"]
    assert [p["uri"].removeprefix(f"{whole.url}/") for p in lineage] == [
        "shards/s1", "runs/r1", "scores/e1", VERSION,
    ]
    assert all(len(p["digest"]) == 64 for p in lineage)


def test_show_for_people_names_metrics_and_files(whole: Store) -> None:
    result = gan(whole, "models", "show", "digits@champion")
    assert result.exit_code == 0
    for word in ("coverage_pixels", "0.953", "generator.safetensors", "champion", "shards"):
        assert word in result.stdout


def test_show_tells_bounds_beside_the_value(tmp_path: Path) -> None:
    store = Store(tmp_path)
    bounds = {"low": 0.85, "high": 0.94, "level": 0.95, "interval": "wilson"}
    a_version(store, "digits", {"recall_pixels": measured(0.9, "pixels", **bounds)})
    words = " ".join(gan(store, "models", "show", "digits").stdout.split())
    assert "recall_pixels 0.9 (0.85 to 0.94) n_real=360, n_fake=360," in words
    assert "95% interval: wilson" in words


def test_show_works_by_a_whole_url_and_on_another_file_system(memory: Store, whole: Store) -> None:
    publish_one(memory)
    shown = as_json(whole, "models", "show", f"{memory.url}/models/digits@latest")
    assert shown["uri"] == f"memory://cli-models/{VERSION}"
    assert [p["kind"] for p in shown["lineage"]] == ["shards", "run", "scores", "version"]


def test_list_has_every_version_with_aliases_and_numbers(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    publish_one(store)
    publish_one(store, "p2", "r2", experiment=an_experiment({"coverage_pixels": {"at_least": 1}}))
    (listed,) = as_json(store, "models", "list")
    assert listed["name"] == "digits"
    assert [(v["version"], v["aliases"]) for v in listed["versions"]] == [
        ("0001", ["champion"]), ("0002", ["latest"]),
    ]
    assert listed["versions"][0]["metrics"]["coverage_pixels"] == 0.953
    assert listed["versions"][0]["uri"] == store.uri(VERSION)
    table = gan(store, "models", "list").stdout
    assert table.index("0002") < table.index("0001")
    assert "champion" in table


def test_list_of_an_empty_store_says_so_and_is_no_error(tmp_path: Path) -> None:
    store = Store(tmp_path / "empty")
    assert as_json(store, "models", "list") == []
    result = gan(store, "models", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no models in" in result.stderr
    assert not (tmp_path / "empty").exists()


def test_verify_of_a_whole_version(whole: Store) -> None:
    assert as_json(whole, "models", "verify", "digits") == {
        "uri": whole.uri(VERSION), "ok": True, "problems": [],
    }
    assert "all 10 files whole" in gan(whole, "models", "verify", "digits").stdout


def test_verify_names_each_damaged_and_missing_file_on_a_line_and_exits_1(store: Store) -> None:
    flip_a_byte(store, f"{VERSION}/generator.safetensors")
    store.delete(f"{VERSION}/README.md")
    result = gan(store, "models", "verify", "digits@latest")
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first.startswith(store.uri(f"{VERSION}/README.md: is missing"))
    assert second.startswith(store.uri(f"{VERSION}/generator.safetensors: is damaged"))
    result = gan(store, "models", "verify", "digits@latest", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["ok"], len(told["problems"])) == (False, 2)


def test_verify_reports_a_manifest_that_cannot_be_read(store: Store) -> None:
    store.write(f"{VERSION}/MANIFEST.json", b"{}")
    result = gan(store, "models", "verify", "digits@0001")
    assert result.exit_code == 1
    assert "MANIFEST.json: not a manifest" in result.stdout


def test_errors_reach_the_caller_as_they_are(whole: Store) -> None:
    for command in (["models", "show"], ["models", "verify"], ["sample", "--out", "x.png"]):
        with pytest.raises(ConfigError, match=r"unknown model 'digit' .*did you mean 'digits'"):
            gan(whole, *command, "digit")


@pytest.mark.parametrize("command", [["models"], ["models", "list"], ["models", "show"], ["models", "verify"],
                                     ["sample"]])
def test_help_has_an_example_on_a_line_of_its_own(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    assert any(line.strip().startswith("Example: gan ") for line in result.stdout.splitlines())
