from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from gan_core.bundle import load_generator
from gan_core.errors import ConfigError, DamagedFile, GanError
from gan_core.manifest import sha256_of
from gan_core.pictures import grid
from gan_core.store import Store
from pipelines.cli_models import models, sample
from tests.artefacts import an_experiment, flip_a_byte, in_fresh_process, publish_one

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
    assert list(shown) == ["version", "uri", "aliases", "metrics", "files", "lineage"]
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
    assert "all 8 files whole" in gan(whole, "models", "verify", "digits").stdout


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


def test_a_sample_is_the_grid_of_the_generators_images(whole: Store, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder" / "grid.png"
    told = as_json(whole, "sample", "digits@champion", "--n", "30", "--seed", "7", "--out", str(out))
    assert told == {"uri": whole.uri(VERSION), "out": str(out), "n": 30, "seed": 7, "label": None}
    expected = io.BytesIO()
    grid(load_generator(told["uri"]).sample(30, seed=7), columns=10).save(expected, format="PNG")
    assert out.read_bytes() == expected.getvalue()
    assert [p.name for p in out.parent.iterdir()] == ["grid.png"]


@pytest.mark.parametrize(
    ("arguments", "columns"),
    [(["--n", "64"], 10), (["--n", "10"], 10), (["--n", "4"], 2), (["--n", "64", "--label", "3"], 8),
     (["--n", "5", "--label", "0"], 3)],
)
def test_columns_are_classes_when_classes_take_turns_else_about_square(
    whole: Store, tmp_path: Path, arguments: list[str], columns: int
) -> None:
    gan(whole, "sample", "digits", *arguments, "--out", str(tmp_path / "grid.png"))
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.width == (columns * (8 + 1) + 1) * 8


def test_colour_and_unconditional_generators_are_sampled_too(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    publish_one(store, classes=0, channels=3)
    assert gan(store, "sample", "digits", "--n", "9", "--out", str(tmp_path / "grid.png")).exit_code == 0
    with Image.open(tmp_path / "grid.png") as picture:
        assert (picture.mode, picture.size) == ("RGB", ((3 * 9 + 1) * 8,) * 2)
    with pytest.raises(ConfigError, match="trained without labels"):
        gan(store, "sample", "digits", "--label", "1", "--out", str(tmp_path / "grid.png"))


def test_channels_that_no_png_has_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    publish_one(store, channels=2)
    with pytest.raises(ConfigError, match="2 channels, a grid has 1 or 3"):
        gan(store, "sample", "digits", "--out", str(tmp_path / "grid.png"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n", "0"], "--n 0: from 1 to 10,000 .*--n 64 works"),
        (["--n", "10001"], "--n 10001: from 1 to 10,000"),
        (["--label", "10"], "label=10: .*label=0 to label=9 work"),
        (["--label", "-1"], "label=-1"),
        (["--seed", "-1"], "seed=-1: .*seed=0 works"),
        (["--out", "grid.jpg"], r"--out grid\.jpg: only PNG is written; --out grid\.png works"),
        (["--out", "."], r"--out \.: only PNG is written; --out grid\.png works"),
        (["--out", "{tmp}/file/grid.png"], "file cannot be made"),
        (["--out", "{tmp}/folder.png"], r"folder\.png: is a directory"),
    ],
)
def test_a_sample_that_cannot_be_says_what_works(
    whole: Store, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    given = [a.replace("{tmp}", str(tmp_path)) for a in arguments]
    out = [] if "--out" in given else ["--out", str(tmp_path / "grid.png")]
    with pytest.raises(ConfigError, match=message):
        gan(whole, "sample", "digits", *given, *out)
    assert not (tmp_path / "grid.png").exists()


def test_damaged_weights_are_not_sampled(store: Store, tmp_path: Path) -> None:
    flip_a_byte(store, f"{VERSION}/generator.safetensors")
    with pytest.raises(DamagedFile, match=r"generator\.safetensors: is damaged"):
        gan(store, "sample", "digits", "--out", str(tmp_path / "grid.png"))


SAMPLE = """
import sys, typer
from pipelines.cli_models import sample
app = typer.Typer()
app.command()(sample)
app(sys.argv[1:])
"""


OLD_PROCESSOR = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "OMP_NUM_THREADS": "1"}


def test_one_seed_gives_one_file_in_any_process_on_any_processor(whole: Store, tmp_path: Path) -> None:
    pictures: list[bytes] = []
    for environment in ({"OMP_NUM_THREADS": "2"}, OLD_PROCESSOR):
        out = tmp_path / f"{len(pictures)}.png"
        in_fresh_process(SAMPLE, whole.uri(VERSION), "--n", "200", "--seed", "5", "--out", str(out),
                         **environment)
        pictures.append(out.read_bytes())
    assert pictures[0] == pictures[1]
    with Image.open(tmp_path / "0.png") as picture:
        assert len(np.unique(np.asarray(picture))) > 50


@pytest.mark.parametrize("command", [["models"], ["models", "list"], ["models", "show"], ["models", "verify"],
                                     ["sample"]])
def test_help_has_an_example_on_a_line_of_its_own(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    assert any(line.strip().startswith("Example: gan ") for line in result.stdout.splitlines())
