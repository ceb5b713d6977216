from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from gan_core.bundle import load_generator
from gan_core.errors import ConfigError, DamagedFile, DataError, GanError
from gan_core.manifest import artefact
from gan_core.mixture import Mixture, averaged
from gan_core.models.spec import GeneratorSpec
from gan_core.pictures import grid
from gan_core.registry import FAMILIES
from gan_core.store import Store
from pipelines.cli_models import models
from pipelines.cli_sample import sample
from pipelines.models import set_alias
from tests.artefacts import (
    finish_run,
    finish_scores,
    flip_a_byte,
    in_fresh_process,
    publish_as,
    publish_one,
)

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


def gan(store: Store, *arguments: str) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--store", store.url])
    if isinstance(result.exception, GanError):
        raise result.exception
    return result


def as_json(store: Store, *arguments: str) -> Any:
    result = gan(store, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_sample_is_the_grid_of_the_generators_images(whole: Store, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder" / "grid.png"
    told = as_json(whole, "sample", "digits@champion", "--n", "30", "--seed", "7", "--out", str(out))
    assert told == {
        "uri": whole.uri(VERSION), "out": str(out), "n": 30, "seed": 7, "label": None, "attributes": None,
        "truncation": None, "interpolate": None, "images": None, "average": False, "noun": "images",
        "generators": [{"uri": whole.uri(VERSION), "weight": 1.0}],
    }
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
    with pytest.raises(ConfigError, match=r"makes images of 2 x 8 x 8; --out grid\.npy works$"):
        gan(store, "sample", "digits", "--out", str(tmp_path / "grid.png"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n", "0"], "--n 0: from 1 to 10,000 .*--n 64 works"),
        (["--n", "10001"], "--n 10001: from 1 to 10,000"),
        (["--label", "10"], "label=10: .*label=0 to label=9 work"),
        (["--label", "-1"], "label=-1"),
        (["--seed", "-1"], "seed=-1: .*seed=0 works"),
        (["--out", "grid.jpg"], r"--out grid\.jpg: .*0001 makes images of 1 x 8 x 8; --out grid\.png, --out grid\.gif "
                                r"and --out grid\.npy work"),
        (["--out", "sound.wav"], r"makes images of 1 x 8 x 8; --out sound\.png, .* work"),
        (["--out", "."], r"--out \.: is a directory; --out grid\.png works"),
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


# Attributes, translation, several generators


class Faces(torch.nn.Module):
    """Images of four pixels: smiling, hair and age, from 0 to 1, and the noise."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, z: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        shown = label / torch.tensor([1, 4, 80]) * 2 - 1
        return self.weight * torch.cat([shown, torch.tanh(z)], 1)[:, None, None]


class Negative(torch.nn.Module):
    """Domain 0 is the image, domain 1 its negative."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return self.weight * image * (1 - 2 * label)[:, None, None, None]


FACES = {
    "family": "test_faces", "options": {}, "output": [1, 1, 4],
    "inputs": {
        "z": {"shape": [1], "distribution": "normal"},
        "label": {"shape": [3], "distribution": "condition", "attributes": [
            {"name": "smiling", "kind": "binary"}, {"name": "hair", "kind": "categorical", "values": 5},
            {"name": "age", "kind": "continuous", "low": 18, "high": 80},
        ]},
    },
}
HORSES = {
    "family": "test_horses", "options": {}, "output": [3, 4, 6],
    "inputs": {"image": {"shape": [3, 4, 6], "distribution": "image"},
               "label": {"shape": [], "distribution": "condition", "classes": 2}},
}


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with a generator by attributes, a translator, and two versions of a generator of digits."""
    store = Store(tmp_path_factory.mktemp("others") / "store")
    FAMILIES.register("test_faces")(Faces)
    FAMILIES.register("test_horses")(Negative)
    for name, spec in (("faces", FACES), ("horses", HORSES)):
        with artefact(store, f"models/{name}/versions/0001", kind="version", key=name) as draft:
            (draft.path / "generator.json").write_text(GeneratorSpec.model_validate(spec).model_dump_json())
            save_file({"weight": torch.ones(())}, draft.path / "generator.safetensors")
            (draft.path / "metrics.json").write_text("{}")
        set_alias(store, name, "latest", "0001", why="published")
    for number, seed in (("1", 0), ("2", 1)):
        run = finish_run(store, f"r{number}", seed=seed)
        publish_as(store, f"p{number}", run, finish_scores(store, run, f"e{number}"))
    yield store
    FAMILIES.unregister("test_faces")
    FAMILIES.unregister("test_horses")


def picture_of(images: NDArray[np.uint8], columns: int) -> bytes:
    file = io.BytesIO()
    grid(images, columns).save(file, format="PNG")
    return file.getvalue()


def test_show_says_which_attributes_and_images_a_generator_takes(others: Store) -> None:
    shown = gan(others, "models", "show", "faces").stdout
    words = [" ".join(line.split()) for line in shown.splitlines()]
    assert {"smiling 0 or 1", "hair 0 to 4", "age 18 to 80"} <= {*words}
    assert as_json(others, "models", "show", "faces")["inputs"]["age"] == {
        "kind": "continuous", "values": 2, "low": 18.0, "high": 80.0,
    }
    assert "images 3 x 4 x 6" in " ".join(gan(others, "models", "show", "horses").stdout.split())


def test_show_names_a_specification_that_cannot_be_understood(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with artefact(store, "models/odd/versions/0001", kind="version", key="odd") as draft:
        (draft.path / "generator.json").write_text('{"inputs": {"label": {"distribution": "condition", '
                                                   '"attributes": [{"name": "age", "kind": "prime"}]}}}')
        (draft.path / "metrics.json").write_text("{}")
    with pytest.raises(DamagedFile, match=r"generator\.json: cannot be understood: .*kind.*publish the run again"):
        gan(store, "models", "show", "odd@1")


def test_attributes_are_those_of_all_images(others: Store, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    told = as_json(others, "sample", "faces", "--attributes", "smiling=1, hair=2", "--n", "9", "--out", str(out))
    assert told["attributes"] == {"smiling": 1, "hair": 2}
    made = load_generator(told["uri"]).sample(9, attributes={"smiling": 1, "hair": 2})
    assert out.read_bytes() == picture_of(made, 3)
    assert (made[:, 0, 0, 0] == 255).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smiling", r"--attributes smiling: 'smiling' is not NAME=VALUE; .*faces/versions/0001 knows smiling 0 or 1, "
                    "hair 0 to 4, age 18 to 80$"),
        ("smile=1", "'smile=1' is no attribute; .* knows smiling 0 or 1"),
        ("hair=red", "'red' is not a number; .* knows smiling 0 or 1"),
        ("hair=1,hair=2", "'hair=2' is named twice; .* knows"),
        ("hair=9", "hair=9: hair is 0 to 4"),
    ],
)
def test_attributes_that_cannot_be_read_are_answered_with_those_there_are(
    others: Store, tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        gan(others, "sample", "faces", "--attributes", text, "--out", str(tmp_path / "grid.png"))


def test_a_generator_without_attributes_is_not_asked_for_them(whole: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="was trained without attributes; leave it out"):
        gan(whole, "sample", "digits", "--attributes", "smiling=1", "--out", str(tmp_path / "grid.png"))


@pytest.fixture
def horses(tmp_path: Path) -> Path:
    """A folder of three pictures: of the generator's size, twice as large, and grey with a transparent half."""
    folder = tmp_path / "horses"
    folder.mkdir()
    draw = np.random.default_rng(0)
    small = draw.integers(0, 256, (4, 6, 3), np.uint8)
    Image.fromarray(small).save(folder / "a.png")
    Image.fromarray(np.repeat(np.repeat(small, 2, 0), 2, 1)).save(folder / "b.png")
    alpha = np.dstack([np.zeros((4, 6), np.uint8), np.tile(np.array([0, 255], np.uint8), (4, 3))])
    Image.fromarray(alpha).save(folder / "c.png")
    (folder / "notes.txt").write_text("of horses")
    return folder


@pytest.mark.parametrize(("to", "flips"), [(None, True), ("b", True), ("1", True), ("a", False), ("0", False)])
def test_images_of_a_folder_are_translated_to_a_domain(
    others: Store, horses: Path, tmp_path: Path, to: str | None, flips: bool
) -> None:
    out = tmp_path / "grid.png"
    asked = [] if to is None else ["--to", to]
    told = as_json(others, "sample", "horses", "--images", str(horses), *asked, "--out", str(out))
    assert (told["n"], told["images"]) == (3, str(horses))
    assert told["label"] == (None if to is None else int(flips))
    small = np.asarray(Image.open(horses / "a.png"))
    see_through = np.tile(np.array([255, 0], np.uint8)[:, None], (4, 3, 3))
    with Image.open(out) as sheet:
        factor = sheet.width // (2 * (6 + 1) + 1)  # two columns, and gaps of a pixel
        found = np.asarray(sheet)[::factor, ::factor]
    for image, top in ((small, 1), (see_through, 6)):  # the large one's pixels move a little as it is scaled
        np.testing.assert_array_equal(found[top : top + 4, 1:7], 255 - image if flips else image)


def test_one_file_and_the_first_of_many_are_translated(others: Store, horses: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "grid.png")
    assert as_json(others, "sample", "horses", "--images", str(horses / "a.png"), "--out", out)["n"] == 1
    assert as_json(others, "sample", "horses", "--images", str(horses), "--n", "2", "--out", out)["n"] == 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["horses"], ConfigError, "translates images and was given none; --images FILE or --images FOLDER works"),
        (["digits", "--images", "{horses}"], ConfigError, "makes images from nothing and translates none"),
        (["horses", "--to", "b"], ConfigError, "--to b: there is nothing to translate; --images FOLDER --to b works"),
        (["horses", "--images", "{horses}", "--to", "zebra"], ConfigError, "--to zebra: is no domain; a and b"),
        (["horses", "--images", "{horses}", "--to", "b", "--label", "1"], ConfigError, "leave one of them out"),
        (["horses", "--images", "{horses}/notes.txt"], DataError, r"notes\.txt: is not an image of a known format"),
        (["horses", "--images", "{horses}/../empty"], DataError, "empty: holds no image; name a folder of PNG"),
        (["horses", "--images", "{horses}/none"], DataError, "none: is not there"),
    ],
)
def test_translations_that_cannot_be_say_what_works(
    others: Store, horses: Path, tmp_path: Path, arguments: list[str], error: type[GanError], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    given = [argument.replace("{horses}", str(horses)) for argument in arguments]
    with pytest.raises(error, match=message):
        gan(others, "sample", *given, "--out", str(tmp_path / "grid.png"))


def test_several_generators_are_mixed_by_their_weights(others: Store, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    told = as_json(others, "sample", "digits@1", "digits@2", "--weights", "0.7,0.3", "--seed", "3", "--out", str(out))
    places = [others.uri(f"models/digits/versions/000{number}") for number in (1, 2)]
    assert told["generators"] == [{"uri": places[0], "weight": 0.7}, {"uri": places[1], "weight": 0.3}]
    mixture = Mixture.of([load_generator(place) for place in places], [0.7, 0.3])
    assert out.read_bytes() == picture_of(mixture.sample(64, seed=3), 10)


def test_several_generators_are_averaged(others: Store, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    told = as_json(others, "sample", "digits@1", "digits@2", "--average", "--label", "3", "--out", str(out))
    places = [others.uri(f"models/digits/versions/000{number}") for number in (1, 2)]
    assert (told["average"], told["uri"]) == (True, f"the average of {places[0]} and {places[1]}")
    assert out.read_bytes() == picture_of(averaged(list(map(load_generator, places))).sample(64, label=3), 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits@1", "faces"], r"makes images of \[1, 8, 8\] and .*faces.* of \[1, 1, 4\]; generators of one shape"),
        (["digits@1", "faces", "--average"], "are built differently .*and their weights have no average"),
        (["digits@1", "digits@2", "--weights", "1"], "--weights 1: 1 weights for 2 generators; --weights 1,1 works"),
        (["digits@1", "--weights", "some"], "--weights some: not numbers with commas between; --weights 1 works"),
        (["digits@1", "digits@2", "--weights=-1,2"], "weights=-1,2: not one number of 0 or more"),
    ],
)
def test_mixtures_that_cannot_be_say_what_works(
    others: Store, tmp_path: Path, arguments: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        gan(others, "sample", *arguments, "--out", str(tmp_path / "grid.png"))


SAMPLE = """
import sys, typer
from pipelines.cli_sample import sample
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
