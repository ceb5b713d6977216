"""`gan dataset`: from "I have data" to shards, on the command line."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gan_core.errors import ConfigError
from gan_core.store import Store
from pipelines.cli import main
from pipelines.dataset_address import _name
from pipelines.datasets import at_prefix, find_prepared, used_by
from pipelines.show_datasets import human
from tests.artefacts import flip_a_byte, publish_one
from tests.pipeline import GAN, free_port
from tests.plug_ins import forgotten

SQUARES = '''
from dataclasses import dataclass
import numpy as np

@dataclass(frozen=True)
class Squares:
    """Squares of noise.  Read from nowhere."""
    side: int = 8
    wrong: bool = False

    def splits(self):
        return {"train": 120, "validation": 100, "test": 100}

    def part(self, split, start, stop):
        for i in range(start, stop):
            if self.wrong and i == 3:
                raise KeyError("lost")
            yield np.random.default_rng([len(split), i]).integers(0, 256, (self.side, self.side), np.uint8), i % 2
'''
EXPERIMENT = "name: squares-8\ndata: {source: squares}\nmodel: {recipe: dcgan}\n"


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Gan = Callable[..., Said]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a directory with one plug-in file and an experiment that names it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "squares.py").write_text(SQUARES)
    (tmp_path / "squares.yaml").write_text(EXPERIMENT)
    with forgotten():
        yield


@pytest.fixture
def gan(capsys: pytest.CaptureFixture[str]) -> Gan:
    def run(*words: str | Path) -> Said:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, printed.out, printed.err)

    return run


@pytest.fixture
def prepared(gan: Gan) -> str:
    """The key of squares, prepared in ./store."""
    said = gan("dataset", "prepare", "squares.yaml", "--plugin", "squares.py", "--json")
    assert said.code == 0, said.err
    return str(said.json["uri"].rpartition("/")[2])


def folder_of_images(root: Path, count: int = 120) -> Path:
    for i in range(count):
        for split in ("train", "val", "test"):
            file = root / split / "ab"[i % 2] / f"{i:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng([len(split), i]).integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(noise).save(file)
    return root


def program(*words: str) -> subprocess.CompletedProcess[str]:
    """A Python module run in a process of its own."""
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])})


def width_of(picture: Path) -> int:
    with Image.open(picture) as opened:
        return opened.width


def line_of(said: Said) -> str:
    (line,) = said.err.splitlines()
    assert said.out == ""
    return line


# --- addressing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "prepare"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name an experiment's YAML file, or --source NAME"),
        (["squares.yaml", "--source", "digits"], "name an experiment's YAML file, or --source NAME"),
        (["squares.yaml", "--url", "x"], "--url x: squares.yaml names its data already; --set data.url=x replaces it"),
        (["--source", "digts"], "--source digts: unknown source 'digts'; did you mean 'digits'?"),
        (["--source", "digits", "--url", "x"], "--url x: source 'digits' has no url, root, path or folder"),
        (["--source", "image_folder"], "--source image_folder: data.url: missing; \"data/flags\" works"),
        (["--source", "digits", "--set", "sied=3"], "--source digits: data.sied: unknown key; "),
        (["--source", "squares", "--set", "sied=3"], "data.sied: unknown key; did you mean 'side'?"),
        (["--source", "squares", "--set", "side=x"], "data.side: 'x': input should be a valid integer"),
        (["--source", "squares", "--set", "prepare.shard_example=3"], "did you mean 'shard_examples'?"),
        (["squares.yaml", "--set", "side=3"], "squares.yaml: side: unknown key"),
        (["squar.yaml"], "squar.yaml: no such file; did you mean squares.yaml?"),
        (["--source", "squares", "--plugin", "square.py"], "--plugin square.py: no such file; did you mean squares.py"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_exit_code_2(gan: Gan, command: str, words: list[str], said: str) -> None:
    refused = gan("dataset", command, *words, "--plugin", "squares.py")
    assert refused.code == 2
    assert said in line_of(refused)
    assert {path.name for path in Path().iterdir()} <= {"__pycache__", "squares.py", "squares.yaml"}


@pytest.mark.parametrize(
    ("words", "side", "shard"),
    [
        (["--source", "squares"], 8, 4096),
        (["--source", "squares", "--set", "side=4"], 4, 4096),
        (["--source", "squares", "--set", "data.side=4", "--set", "prepare.shard_examples=100"], 4, 100),
        (["squares.yaml", "--set", "data.side=4"], 4, 4096),
        (["--source", "squares", "--set", "prepare.transforms=[{resize: 5}]"], 5, 4096),
    ],
)
def test_settings_reach_the_source_and_prepare(gan: Gan, words: list[str], side: int, shard: int) -> None:
    said = gan("dataset", "prepare", *words, "--plugin", "squares.py", "--json")
    assert said.json["shape"] == [1, side, side]
    (manifest,) = Path("store/shards").glob("*/MANIFEST.json")
    assert json.loads(manifest.read_text())["facts"]["splits"]["train"]["counts"][0] == min(120, shard)


def test_a_url_is_the_root_of_a_source_that_has_one(gan: Gan, tmp_path: Path) -> None:
    assert gan("dataset", "new", "my_flags").code == 0
    said = gan("dataset", "check", "--plugin", "my_flags.py", "--source", "my_flags", "--url", tmp_path, "--json")
    assert said.code == 1
    assert "no_training_examples" in [finding["kind"] for finding in said.json["findings"]]


@pytest.mark.parametrize(
    ("url", "name"),
    [("data/My Flags/", "my-flags"), ("zip://*::s3://bucket/set_1.zip", "set-1"), ("https://host/set.zip?x=1", "set"),
     ("/", "digits"), (None, "digits")],
)
def test_a_set_is_called_by_its_folder_or_file(url: str | None, name: str) -> None:
    assert _name("digits", url) == name


# --- check ------------------------------------------------------------------------------------------------


def test_a_sound_set_passes_with_sheet_card_and_findings(gan: Gan, tmp_path: Path) -> None:
    url = folder_of_images(tmp_path / "My Images")
    said = gan("dataset", "check", "--source", "image_folder", "--url", url)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[0].startswith("pass    120 train, 120 validation, 120 test; ")
    folder = Path("checks/my-images")
    assert said.out.splitlines()[-2:] == [f"contact sheet  {folder}/contact.png", f"data card      {folder}/card.html"]
    assert width_of(folder / "contact.png") > 100
    assert "my-images" in (folder / "card.html").read_text()
    assert json.loads((folder / "check.json").read_text())["verdict"] == "pass"


def test_json_is_all_that_goes_to_standard_output(gan: Gan) -> None:
    said = gan("dataset", "check", "--source", "digits", "--json", "--out", "here/it/is")
    assert said.code == 0
    assert list(said.json) == ["verdict", "findings", "summary", "contact_sheet", "card"]
    assert said.json["card"] == "here/it/is/card.html"
    assert json.loads(Path("here/it/is/check.json").read_text()) == said.json


def test_a_set_that_is_refused_is_exit_code_1_with_a_line_for_each_finding(gan: Gan, tmp_path: Path) -> None:
    url = folder_of_images(tmp_path / "images")
    (url / "train/a/torn.png").write_bytes((url / "train/a/000.png").read_bytes()[:200])
    said = gan("dataset", "check", "--source", "image_folder", "--url", url)
    assert said.code == 1
    verdict, finding = said.out.splitlines()[:2]
    assert verdict.startswith("refuse")
    assert re.match(r"refuse  unreadable_items  .*torn.png: .*truncated", finding)
    said = gan("dataset", "check", "--source", "image_folder", "--url", url, "--set", "prepare.max_bad_fraction=0.1")
    assert said.code == 0
    assert said.out.startswith("warn")


def test_a_set_that_is_not_there_is_a_finding(gan: Gan) -> None:
    said = gan("dataset", "check", "--source", "image_folder", "--url", "nowhere", "--json")
    assert said.code == 1
    (finding,) = said.json["findings"]
    assert (finding["severity"], finding["kind"]) == ("refuse", "unreadable_source")
    assert "nowhere: is not there" in finding["what"]


def test_a_plug_in_that_fails_is_a_finding_with_its_line(gan: Gan) -> None:
    said = gan("dataset", "check", "--source", "squares", "--plugin", "squares.py", "--set", "wrong=true", "--json")
    assert said.code == 1
    finding = said.json["findings"][0]
    assert finding["severity"] == "refuse"
    assert "KeyError: 'lost' (squares.py, line 17)" in finding["what"]


@pytest.mark.parametrize("command", ["check", "prepare"])
def test_what_a_plug_in_prints_is_not_among_the_json(gan: Gan, command: str) -> None:
    loud = SQUARES.replace("        for i in", "        print('reading', split)\n        for i in")
    Path("squares.py").write_text(loud)
    said = gan("dataset", command, "squares.yaml", "--plugin", "squares.py", "--json")
    assert said.json
    assert "reading train" in said.err


def test_a_limit_is_said(gan: Gan) -> None:
    said = gan("dataset", "check", "squares.yaml", "--plugin", "squares.py", "--limit", "10", "--json")
    assert "30 of 320 were read" in said.json["summary"]
    assert gan("dataset", "check", "squares.yaml", "--limit", "0").code == 2


def test_a_folder_that_cannot_be_written_is_refused_before_the_data_is_read(gan: Gan) -> None:
    Path("file").write_text("")
    said = gan("dataset", "check", "--source", "image_folder", "--url", "nowhere", "--out", "file/checks")
    assert said.code == 2
    assert line_of(said) == "gan: --out file/checks: file/checks cannot be made: Not a directory; " \
                            "name a directory of yours"


# --- new --------------------------------------------------------------------------------------------------


def test_a_new_plug_in_passes_its_contract_as_it_stands(gan: Gan, tmp_path: Path) -> None:
    said = gan("dataset", "new", "my_flags")
    assert said.code == 0
    for command in ("pytest test_my_flags.py", "gan dataset check --plugin my_flags.py --source my_flags --url",
                    "gan dataset prepare --plugin my_flags.py", "gan run EXPERIMENT.yaml --plugin my_flags.py"):
        assert command in said.out
    done = program("pytest", "-q", "-p", "no:cacheprovider", "test_my_flags.py")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^1\d passed", done.stdout, re.MULTILINE), done.stdout


def test_the_skeleton_is_short_clean_and_says_where_to_change_it(gan: Gan) -> None:
    gan("dataset", "new", "my_flags", "--dir", "plug/ins")
    text = Path("plug/ins/my_flags.py").read_text()
    (made,) = (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef))
    assert made.end_lineno is not None
    assert made.end_lineno - made.lineno < 25
    assert text.count("# change: ") == 3
    done = program("ruff", "check", "--isolated", "--select", "E,F,B,UP,SIM,PTH,RUF", "plug/ins",
                   "--line-length", "120")
    assert done.returncode == 0, done.stdout


def test_the_skeleton_is_checked_and_prepared_as_it_stands(gan: Gan) -> None:
    gan("dataset", "new", "my_flags")
    for split, count in (("train", 12), ("validation", 2), ("test", 2)):
        Path("data", split).mkdir(parents=True)
        for i in range(count):
            noise = np.random.default_rng([len(split), i]).integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(noise).save(f"data/{split}/{i % 2}_{i}.png")
    words = ["--plugin", "my_flags.py", "--source", "my_flags", "--url", "data", "--json"]
    assert gan("dataset", "check", *words).json["verdict"] == "warn"  # so few examples
    assert gan("dataset", "prepare", *words).json["splits"] == {"train": 12, "validation": 2, "test": 2}
    Path("data/train/1_torn.png").write_bytes(b"nothing")
    assert gan("dataset", "check", *words).json["findings"][0]["kind"] == "unreadable_items"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("My-Flags", "'My-Flags' cannot be a data set's name"),
        ("../flags", "cannot be a data set's name"),
        ("class", "'class' cannot be a data set's name"),
        ("1flag", "cannot be a data set's name"),
        ("", "'' cannot be a data set's name"),
        ("json", "'json' is a Python module already, which json.py would hide; my_json works"),
        ("digits", "'digits' is a source already"),
        ("test_flags", "pytest takes files that begin with test_ for tests; flags works"),
    ],
)
def test_a_name_that_cannot_be_is_refused(gan: Gan, name: str, said: str) -> None:
    refused = gan("dataset", "new", name)
    assert refused.code == 2
    assert said in line_of(refused)
    assert not list(Path().glob("test_*"))


@pytest.mark.parametrize("there", ["my_flags.py", "test_my_flags.py"])
def test_nothing_is_overwritten(gan: Gan, there: str) -> None:
    Path(there).write_text("mine")
    refused = gan("dataset", "new", "my_flags")
    assert refused.code == 2
    assert line_of(refused) == f"gan: {there}: is there already; choose another name, or another --dir"
    assert Path(there).read_text() == "mine"
    assert sum(path.name.endswith("my_flags.py") for path in Path().iterdir()) == 1


def test_a_folder_that_cannot_be_made_is_refused(gan: Gan) -> None:
    Path("file").write_text("")
    assert "name a directory of yours" in line_of(gan("dataset", "new", "my_flags", "--dir", "file/plug"))


# --- prepare ----------------------------------------------------------------------------------------------


def test_what_is_prepared_is_what_a_run_reuses(gan: Gan, prepared: str) -> None:
    again = gan("dataset", "prepare", "squares.yaml", "--plugin", "squares.py", "--json")
    assert (again.json["status"], again.json["splits"]["train"]) == ("REUSED", 120)
    step = gan("plan", "squares.yaml", "--plugin", "squares.py", "--json").json["stages"][0]
    assert (step["action"], step["uri"].rpartition("/")[2]) == ("REUSE", prepared)


def test_a_plan_says_that_a_prepared_sets_settings_changed(gan: Gan, prepared: str) -> None:
    said = gan("plan", "squares.yaml", "--plugin", "squares.py", "--set", "data.side=4", "--json")
    assert said.json["stages"][0]["reason"].startswith("data.side changed: 8 → 4")


def test_the_same_set_from_the_command_line_is_the_same_set(gan: Gan, prepared: str) -> None:
    said = gan("dataset", "prepare", "--source", "squares", "--plugin", "squares.py", "--json")
    assert said.json["status"] == "REUSED"
    assert said.json["uri"].endswith(prepared)


def test_people_are_told_on_standard_error(gan: Gan) -> None:
    said = gan("dataset", "prepare", "squares.yaml", "--plugin", "squares.py")
    assert (said.code, said.out) == (0, "")
    assert "image [1, 8, 8], 2 classes: train 120, validation 100, test 100" in said.err


def test_data_that_does_not_fit_is_exit_code_1(gan: Gan) -> None:
    said = gan("dataset", "prepare", "--source", "squares", "--plugin", "squares.py", "--set", "wrong=true")
    assert said.code == 1
    assert "squares: train item 3: KeyError: 'lost'" in line_of(said)


@pytest.mark.system
@pytest.mark.slow
def test_workers_load_the_plug_in_and_write_the_same_bytes(gan: Gan) -> None:
    words = ["--source", "squares", "--plugin", "squares.py", "--set", "prepare.shard_examples=100", "--json"]
    there = program("pipelines.cli", "dataset", "prepare", *words, "--store", "there", "--workers", "2")
    assert there.returncode == 0, there.stderr
    here = gan("dataset", "prepare", *words, "--store", "here")
    assert json.loads(there.stdout)["digest"] == here.json["digest"]


@pytest.mark.parametrize("command", [["plan"], ["config", "show"]])
def test_other_commands_take_plug_ins_too(gan: Gan, command: list[str]) -> None:
    assert "unknown source 'squares'" in line_of(gan(*command, "squares.yaml", "--json"))
    assert gan(*command, "squares.yaml", "--plugin", "squares.py", "--json").code == 0


# --- list -------------------------------------------------------------------------------------------------


def test_every_source_is_listed_with_its_options(gan: Gan) -> None:
    said = gan("dataset", "list", "--plugin", "squares.py", "--json")
    listed = {source["name"]: source for source in said.json["sources"]}
    assert listed["squares"] == {"name": "squares", "about": "Squares of noise", "options": [
        {"name": "side", "required": False, "default": 8, "about": ""},
        {"name": "wrong", "required": False, "default": False, "about": ""},
    ]}
    assert [option["name"] for option in listed["digits"]["options"]] == ["imbalance"]
    url = listed["image_folder"]["options"][0]
    assert (url["name"], url["required"]) == ("url", True)
    table = gan("dataset", "list").out
    assert re.search(r"^image_folder +url\*, ", table, re.MULTILINE)


def test_a_source_that_cannot_be_imported_does_not_hide_the_others(gan: Gan, monkeypatch: pytest.MonkeyPatch) -> None:
    from gan_core.registry import SOURCES

    monkeypatch.setitem(SOURCES._targets, "broken", "nowhere:Broken")
    said = gan("dataset", "list", "--json")
    listed = {source["name"]: source for source in said.json["sources"]}
    assert "No module named 'nowhere'" in listed["broken"]["error"]
    assert "digits" in listed
    assert "nowhere" in gan("dataset", "list").out


def test_prepared_sets_are_listed_with_what_made_them(gan: Gan, prepared: str) -> None:
    (found,) = gan("dataset", "list", "--json").json["prepared"]
    files = [path for path in Path(f"store/shards/{prepared}").iterdir() if path.name != "MANIFEST.json"]
    assert found == {
        "key": prepared, "uri": f"file://{Path.cwd()}/store/shards/{prepared}", "source": "squares",
        "experiments": ["squares-8"], "kind": "image", "shape": [1, 8, 8], "classes": 2,
        "splits": {"train": 120, "validation": 100, "test": 100}, "quarantined": 0,
        "bytes": sum(path.stat().st_size for path in files), "created": found["created"], "damage": "",
    }
    row = next(line for line in gan("dataset", "list").out.splitlines() if line.startswith(prepared))
    assert re.match(rf"{prepared}  squares +squares-8  120 \+ 100 \+ 100  1x8x8  \S+ \S+  \d{{4}}-\d\d-\d\d", row)


def test_an_empty_store_is_said_to_be_empty(gan: Gan) -> None:
    said = gan("dataset", "list", "--store", "nothing")
    assert (said.code, said.err) == (
        0, f"nothing is prepared in file://{Path.cwd()}/nothing yet; `gan dataset prepare` does it\n")
    assert not Path("nothing").exists()


@pytest.mark.parametrize("damage", ["manifest", "missing"])
def test_a_damaged_set_is_listed_as_one(gan: Gan, prepared: str, damage: str) -> None:
    place = Path(f"store/shards/{prepared}")
    if damage == "manifest":
        (place / "MANIFEST.json").write_text("{}")
    else:
        (place / "train-00000.arrow").unlink()
    (found,) = gan("dataset", "list", "--json").json["prepared"]
    assert ("not a manifest" if damage == "manifest" else "train-00000.arrow: is missing") in found["damage"]
    said = gan("dataset", "list")
    assert f"{prepared}  squares" in said.out
    assert "damaged" in said.out
    assert found["damage"].split() == said.err.split()[-len(found["damage"].split()):]  # wherever a line ends


# --- show -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", ["{key}", "{part}", "shards/{key}", "{uri}", "squares-8", "squares", "squares.yaml"]
)
def test_a_prepared_set_is_shown_by_every_address(gan: Gan, prepared: str, address: str) -> None:
    uri = f"file://{Path.cwd()}/store/shards/{prepared}"
    said = gan("dataset", "show", address.format(key=prepared, part=prepared[:6], uri=uri), "--plugin", "squares.py",
               "--json")
    assert said.code == 0, said.err
    shown = said.json
    assert (shown["key"], shown["source"], shown["experiments"]) == (prepared, "squares", ["squares-8"])
    assert shown["histograms"]["train"] == {"0": 60, "1": 60}
    assert shown["used_by"] == {"experiments": ["squares-8"], "runs": [], "models": []}
    assert len(shown["digest"]) == 64
    assert shown["preview"] == f"preview-{prepared}.png"
    assert width_of(Path(shown["preview"])) > 400


def test_people_see_the_facts_and_the_classes(gan: Gan, prepared: str) -> None:
    said = gan("dataset", "show", prepared, "--out", "new/folder/p.png")
    assert (said.code, said.err) == (0, "")
    for words in (r"holds +image 1x8x8", r"train +120", r"left out +0", r"used by +squares-8",
                  r"preview +new/folder/p.png", r"^0 +60 +50 +50"):
        assert re.search(words, said.out, re.MULTILINE), words
    assert Path("new/folder/p.png").exists()


def test_an_unknown_address_offers_the_nearest(gan: Gan, prepared: str) -> None:
    said = gan("dataset", "show", "squared")
    assert said.code == 2
    assert line_of(said) == f"gan: unknown data set 'squared' in file://{Path.cwd()}/store; did you mean 'squares'? " \
                            f"prepared: {', '.join(sorted([prepared, 'squares', 'squares-8']))}"
    said = gan("dataset", "show", "squares", "--store", "elsewhere")
    assert "nothing is prepared in" in line_of(said)
    assert said.code == 2


def test_a_beginning_that_two_keys_share_is_refused(gan: Gan, prepared: str) -> None:
    twin = prepared[:4] + "f" * 12
    Path(f"store/shards/{prepared}").rename(f"store/shards/{twin}")
    gan("dataset", "prepare", "squares.yaml", "--plugin", "squares.py")
    said = gan("dataset", "show", prepared[:4])
    assert said.code == 2
    assert "2 prepared sets begin so" in line_of(said)
    assert gan("dataset", "show", prepared[:8], "--json").json["key"] == prepared


def test_an_experiment_that_is_not_prepared_says_so(gan: Gan, prepared: str) -> None:
    said = gan("dataset", "show", "squares.yaml", "--plugin", "squares.py", "--set", "data.side=4")
    assert said.code == 1
    assert "squares.yaml is not prepared yet; `gan dataset prepare` does it" in line_of(said)
    said = gan("dataset", "show", prepared, "--set", "data.side=4")
    assert said.code == 2
    assert line_of(said) == f"gan: --set goes with an experiment's YAML file, and {prepared} is none"


@pytest.mark.parametrize(
    ("damage", "said"),
    [("flip", "train-00000.arrow: is damaged"), ("unlink", "train-00000.arrow: is missing or has another size"),
     ("manifest", "MANIFEST.json: not a manifest")],
)
def test_a_damaged_set_is_named_and_nothing_is_drawn(gan: Gan, prepared: str, damage: str, said: str) -> None:
    if damage == "flip":
        flip_a_byte(Store("store"), f"shards/{prepared}/train-00000.arrow")
    elif damage == "unlink":
        Path(f"store/shards/{prepared}/train-00000.arrow").unlink()
    else:
        Path(f"store/shards/{prepared}/MANIFEST.json").write_text("[]")
    refused = gan("dataset", "show", prepared)
    assert refused.code == 1
    assert said in line_of(refused)
    assert not list(Path().glob("*.png"))


def test_a_preview_that_is_no_png_is_refused(gan: Gan, prepared: str) -> None:
    said = gan("dataset", "show", prepared, "--out", "p.jpg")
    assert (said.code, line_of(said)) == (2, "gan: --out p.jpg: only PNG is written; --out p.png works")


def test_a_set_without_labels_is_shown_too(gan: Gan, tmp_path: Path) -> None:
    for i in range(30):
        noise = np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)
        (tmp_path / "flat").mkdir(exist_ok=True)
        Image.fromarray(noise).save(tmp_path / "flat" / f"{i}.png")
    assert gan("dataset", "prepare", "--source", "image_folder", "--url", "flat").code == 0
    said = gan("dataset", "show", "flat")
    assert re.search(r"classes +none", said.out)
    assert width_of(next(Path().glob("preview-*.png"))) > 400


def test_runs_and_models_that_use_a_set_are_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    publish_one(store)
    assert used_by(store, at_prefix(store, "shards/s1", "digits")) == {
        "experiments": [], "runs": ["runs/r1"], "models": ["digits@0001"],
    }
    assert find_prepared(store, "s1")[1].key == "s1"
    with pytest.raises(ConfigError, match="unknown data set 's2'"):
        find_prepared(store, "s2")


def test_sizes_are_readable() -> None:
    assert [human(size) for size in (0, 1023, 1536, 5 * 2**30)] == ["0 bytes", "1023 bytes", "1.5 KiB", "5 GiB"]


@pytest.mark.parametrize("command", ["list", "new", "check", "prepare", "show"])
def test_every_command_has_help_with_an_example(gan: Gan, command: str) -> None:
    said = gan("dataset", command, "--help")
    assert said.code == 0
    assert f"Example: gan dataset {command}" in said.out


@pytest.mark.system
def test_s3_that_does_not_answer_is_one_line_with_advice() -> None:
    nowhere = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}", "AWS_ACCESS_KEY_ID": "a",
               "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_DEFAULT_REGION": "us-east-1", "GAN_STORE_PATIENCE_S": "0"}
    commands = [("dataset", "prepare", "--source", "npz", "--url", "s3://gone/x.npz"),
                ("plan", "squares.yaml", "--plugin", "squares.py", "--store", "s3://gone/store")]
    both = [subprocess.Popen([*GAN, *words], env={**os.environ, **nowhere}, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
            for words in commands]  # at once: they do little but wait
    for process in both:
        said = process.communicate(timeout=120)[1]
        assert process.returncode in (1, 2)
        (line,) = (line for line in said.splitlines() if line.startswith("gan: "))
        assert nowhere["AWS_ENDPOINT_URL"] in line
        assert "Traceback" not in said
        assert "hunter2" not in said
