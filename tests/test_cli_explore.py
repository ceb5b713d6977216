from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.errors import ConfigError, DamagedFile, GanError
from gan_core.manifest import artefact
from gan_core.models.spec import GeneratorSpec
from gan_core.registry import FAMILIES
from gan_core.store import Store
from pipelines.cli_explore import explore
from pipelines.models import set_alias
from tests.artefacts import a_parent, flip_a_byte, in_fresh_process, publish_one
from tests.test_cli_sample import FACES, HORSES, VERSION, Faces, Negative

app = typer.Typer()
app.command()(explore)

SMALL = ("--rows", "2", "--columns", "3", "--samples", "64")
ALWAYS = {"explore.json", "interpolation.png", "interpolation.gif", "pca.png", "truncation.png"}


def gan(store: Store, *arguments: str) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--store", store.url])
    if isinstance(result.exception, GanError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def explored(store: Store, out: Path, *arguments: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What is told as JSON, and the files."""
    told = json.loads(gan(store, *arguments, *SMALL, "--out", str(out), "--json").stdout)
    return told, {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a generator of digits by class that no test changes."""
    store = Store(tmp_path_factory.mktemp("published") / "store")
    publish_one(store)
    return store


@pytest.fixture
def unconditional(tmp_path: Path) -> Store:
    """A store with real digits and a generator without labels that was made from them."""
    store = Store(tmp_path / "store")
    publish_one(store, classes=0)
    write_shards(Digits(), store, "shards/digits", shard_examples=4096, key="digits")
    publish_again(store, "plain", "shards/digits")
    return store


def publish_again(store: Store, name: str, shards: str) -> None:
    """The generator of digits, published as made from other shards."""
    version = store.local_path(VERSION)
    prefix = f"models/{name}/versions/0001"
    with artefact(store, prefix, kind="version", key=name, parents=(a_parent(store, shards),)) as draft:
        for file in ("generator.json", "generator.safetensors"):
            (draft.path / file).write_bytes((version / file).read_bytes())
    set_alias(store, name, "latest", "0001", why="published")


def test_a_generator_by_class_is_explored_in_every_picture_that_it_has(whole: Store, tmp_path: Path) -> None:
    told, files = explored(whole, tmp_path / "new" / "folder", "digits@champion", "--seed", "7")
    assert {*files} == ALWAYS | {"classes.png"}
    assert json.loads(files["explore.json"]) == told
    assert (told["uri"], told["seed"], told["label"], told["latent"]) == (whole.uri(VERSION), 7, None, 8)
    assert [*told["pictures"]] == ["interpolation", "classes", "pca", "truncation"]
    assert {name for picture in told["pictures"].values() for name in picture["files"]} == {*files} - {"explore.json"}
    assert told["pictures"]["pca"]["layer"] == "project"
    assert told["left_out"] == {"attributes": "its images are asked for by label, which classes.png shows"}
    for name, data in files.items():
        if name.endswith((".png", ".gif")):
            with Image.open(io.BytesIO(data)) as picture:
                assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def test_the_same_arguments_give_the_same_files_and_another_seed_others(whole: Store, tmp_path: Path) -> None:
    first, again, other = (explored(whole, tmp_path / name, "digits", "--seed", seed)[1]
                           for name, seed in (("first", "5"), ("again", "5"), ("other", "6")))
    assert first == again
    assert all(first[name] != other[name] for name in first)


EXPLORE = """
import sys, typer
from pipelines.cli_explore import explore
app = typer.Typer()
app.command()(explore)
app(sys.argv[1:])
"""


def test_the_files_are_the_same_on_another_processor(whole: Store, tmp_path: Path) -> None:
    here = explored(whole, tmp_path / "here", whole.uri(VERSION))[1]
    old = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "OMP_NUM_THREADS": "1"}
    in_fresh_process(EXPLORE, whole.uri(VERSION), *SMALL, "--out", str(tmp_path / "there"), **old)
    assert {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()} == here


def test_people_are_told_where_to_look_and_what_was_left_out(whole: Store, tmp_path: Path) -> None:
    said = gan(whole, "digits", *SMALL, "--out", str(tmp_path))
    assert said.stdout == ""
    assert f"{tmp_path / 'pca.png'}: image 0 of the seed, moved along a principal component a row\n" in said.stderr
    assert "attributes.png is left out: its images are asked for by label" in said.stderr


def test_without_labels_classes_are_directions_that_training_images_were_read_by(
    unconditional: Store, tmp_path: Path
) -> None:
    told, files = explored(unconditional, tmp_path / "out", "plain")
    assert {*files} == ALWAYS | {"attributes.png"}
    shown = told["pictures"]["attributes"]
    names = [row["name"] for row in shown["rows"]]
    assert sorted(names + shown["without_direction"]) == [str(digit) for digit in range(10)]
    assert list(told["left_out"]) == ["classes"]


def test_why_there_are_no_directions_is_one_line(unconditional: Store, tmp_path: Path) -> None:
    flip_a_byte(unconditional, "shards/digits/train-00000.arrow")
    told, files = explored(unconditional, tmp_path / "out", "plain")
    assert {*files} == ALWAYS
    assert "train-00000.arrow" in told["left_out"]["attributes"]
    unconditional.delete("shards/digits")
    told, _ = explored(unconditional, tmp_path / "out", "plain")
    assert "shards/digits, are not there any more" in told["left_out"]["attributes"]
    url = unconditional.uri("models/plain/versions/0001")
    assert told["left_out"]["classes"] == f"{url} was trained without labels"


def test_pictures_of_an_earlier_exploration_do_not_stay(whole: Store, unconditional: Store, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    explored(whole, tmp_path / "out", "digits")
    assert {*explored(unconditional, tmp_path / "out", "plain")[1]} == ALWAYS | {"attributes.png", "notes.txt"}


@pytest.fixture
def others(tmp_path: Path) -> Any:
    """A store with a generator by attributes and a translator."""
    store = Store(tmp_path / "others")
    FAMILIES.register("test_faces")(Faces)
    FAMILIES.register("test_horses")(Negative)
    for name, spec in (("faces", FACES), ("horses", HORSES)):
        with artefact(store, f"models/{name}/versions/0001", kind="version", key=name) as draft:
            (draft.path / "generator.json").write_text(GeneratorSpec.model_validate(spec).model_dump_json())
            save_file({"weight": torch.ones(())}, draft.path / "generator.safetensors")
        set_alias(store, name, "latest", "0001", why="published")
    yield store
    FAMILIES.unregister("test_faces")
    FAMILIES.unregister("test_horses")


def test_attributes_are_swept_from_their_lowest_value_to_their_highest(others: Store, tmp_path: Path) -> None:
    told, files = explored(others, tmp_path / "out", "faces", "--attributes", "smiling=1")
    assert {*files} == ALWAYS | {"attributes.png"}
    shown = told["pictures"]["attributes"]
    assert shown["columns"] == {"smiling": [0, 1], "hair": [0, 1, 2, 3, 4], "age": [18, 49, 80]}
    assert shown["attributes"]["smiling"] == [1, 1, 1]
    assert told["pictures"]["pca"]["layer"] is None
    assert told["left_out"]["classes"] == "its images are asked for by attributes, which attributes.png shows"


def test_a_translator_is_refused_with_advice(others: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="translates images and has no latent vectors to explore; `gan sample"):
        gan(others, "horses", "--out", str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits", "--label", "10"], "label=10: .*label=0 to label=9 work"),
        (["digits", "--seed", "-1"], "seed=-1: .*seed=0 works"),
        (["digits", "--attributes", "smiling=1"], "trained without attributes; leave it out"),
        (["digits", "--rows", "0"], "rows=0: rows are 1 to 20; rows=8 works"),
        (["digits", "--columns", "99"], "columns=99: columns are 2 to 33; columns=9 works"),
        (["digits", "--samples", "3"], "samples=3: z has 8 numbers, .*; samples=1000 works"),
        (["digit"], "unknown model 'digit' .*did you mean 'digits'"),
        (["digits", "--out", "{tmp}/file.png"], r"--out .*file\.png: is a file; --out .*file-explored works"),
        (["digits", "--out", "{tmp}/file.png/in"], "in cannot be made: Not a directory"),
    ],
)
def test_what_cannot_be_explored_says_what_works(
    whole: Store, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "file.png").touch()
    given = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    out = [] if "--out" in given else ["--out", str(tmp_path / "out")]
    with pytest.raises(ConfigError, match=message):
        gan(whole, *given, *out)
    assert not list((tmp_path / "out").glob("*"))


def test_channels_that_no_picture_has_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    publish_one(store, channels=2)
    with pytest.raises(ConfigError, match="2 channels, pictures have 1 or 3"):
        gan(store, "digits", "--out", str(tmp_path / "out"))


def test_damaged_weights_are_not_explored(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    publish_one(store)
    flip_a_byte(store, f"{VERSION}/generator.safetensors")
    with pytest.raises(DamagedFile, match=r"generator\.safetensors: is damaged"):
        gan(store, "digits", "--out", str(tmp_path / "out"))
