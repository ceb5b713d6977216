"""`gan sample --input`: files translated one by one, whole folders of them, and what is said of those that are not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gan_core.manifest import artefact
from gan_core.models.spec import GeneratorSpec
from gan_core.registry import FAMILIES
from gan_core.store import Store
from pipelines import on_ray_translate
from pipelines.cli import main
from pipelines.models import set_alias
from pipelines.profile import Profile
from pipelines.translate_files import Order
from tests.test_cli_sample import HORSES, Negative

MAPS: dict[str, Any] = {
    "family": "test_maps", "options": {}, "output": [3, 4, 6],
    "inputs": {"image": {"shape": [1, 4, 6], "distribution": "image", "column": "image_b", "indices": 3}},
}
Said = tuple[int, str, str]


class Tripled(torch.nn.Module):
    """A map of classes in three channels, class 2 as 200."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.weight * ((image + 1) * 100 - 1).repeat(1, 3, 1, 1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with a translator both ways and one of maps of three classes, which knows b2a alone."""
    store = Store(tmp_path_factory.mktemp("translators") / "store")
    FAMILIES.register("test_horses")(Negative)
    FAMILIES.register("test_maps")(Tripled)
    for name, spec in (("horses", HORSES), ("maps", MAPS)):
        with artefact(store, f"models/{name}/versions/0001", kind="version", key=name) as draft:
            (draft.path / "generator.json").write_text(GeneratorSpec.model_validate(spec).model_dump_json())
            save_file({"weight": torch.ones(())}, draft.path / "generator.safetensors")
            (draft.path / "metrics.json").write_text("{}")
        set_alias(store, name, "latest", "0001", why="published")
    yield store
    FAMILIES.unregister("test_horses")
    FAMILIES.unregister("test_maps")


@pytest.fixture
def gan(store: Store, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: object) -> Said:
        with pytest.raises(SystemExit) as ended:
            main(["sample", *map(str, words), "--store", store.url])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, " ".join(said.err.split())

    return run


def pixels(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images in a folder and one below it, something else, one too large, one cut off and one that is none."""
    made, draw = tmp_path / "in", np.random.default_rng(0)
    (made / "deeper").mkdir(parents=True)
    for name in ("a.png", "b.png", "deeper/c.bmp"):
        Image.fromarray(draw.integers(0, 256, (4, 6, 3), np.uint8)).save(made / name)
    Image.fromarray(draw.integers(0, 256, (8, 12, 3), np.uint8)).save(made / "large.png")
    (made / "cut.png").write_bytes((made / "large.png").read_bytes()[:200])
    (made / "page.jpg").write_text("<html>not found</html>")
    (made / "notes.txt").write_text("of horses")
    return made


@pytest.mark.parametrize(("direction", "flips"), [(None, True), ("a2b", True), ("b2a", False)])
def test_one_file_becomes_one_file(gan: Any, folder: Path, tmp_path: Path, direction: str | None, flips: bool) -> None:
    asked = () if direction is None else ("--direction", direction)
    code, out, said = gan("horses", "--input", folder / "a.png", "--out", tmp_path / "made.png", *asked, "--json")
    assert code == 0, said
    assert json.loads(out)["made"] == 1
    assert json.loads(out)["direction"] == (direction or "a2b")
    given = pixels(folder / "a.png")
    assert np.array_equal(pixels(tmp_path / "made.png"), 255 - given if flips else given)
    assert gan("horses", "--input", folder / "a.png", "--out", tmp_path / "made.jpeg")[0] == 0
    with Image.open(tmp_path / "made.jpeg") as image:
        assert (image.format, image.size) == ("JPEG", (6, 4))


def test_a_map_of_classes_is_given_as_it_is_and_its_only_direction_need_not_be_named(gan: Any, tmp_path: Path) -> None:
    classes = np.array([[0, 1, 2, 0, 1, 2]] * 4, np.uint8)
    Image.fromarray(classes).save(tmp_path / "map.png")
    code, out, said = gan("maps", "--input", tmp_path / "map.png", "--out", tmp_path / "made.png", "--json")
    assert code == 0, said
    assert json.loads(out)["direction"] == "b2a"
    assert np.abs(pixels(tmp_path / "made.png")[:, :, 0] - classes * 100.0).max() <= 1
    Image.fromarray(classes.repeat(3, 0).repeat(3, 1)).save(tmp_path / "large.png")
    gan("maps", "--input", tmp_path / "large.png", "--resize", "--out", tmp_path / "again.png")
    assert np.array_equal(pixels(tmp_path / "again.png"), pixels(tmp_path / "made.png"))  # no class between two


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("horses", "--input", "{in}/large.png"), "large.png: is 12x8 pixels, RGB; the generator takes 6x4 pixels, "
                                                  "RGB; --resize brings it there"),
        (("maps", "--input", "{in}/a.png"), "is 6x4 pixels, RGB; the generator takes 6x4 pixels, grey; a map of class "
                                            "indices is a grey image"),
        (("maps", "--input", "{in}/grey.png"), "has a pixel of class 7; the generator knows the classes 0 to 2"),
        (("maps", "--input", "{in}/grey.png", "--direction", "a2b"), "has learned b2a alone; --direction b2a works"),
        (("horses", "--input", "{in}/grey.png"), "is 6x4 pixels, grey; the generator takes 6x4 pixels, RGB"),
        (("horses", "--input", "{in}/cut.png"), "cut.png: is truncated"),
        (("horses", "--input", "{in}/page.jpg"), "is not an image but a web page"),
        (("horses", "--input", "{in}/none.png"), "none.png: is not there"),
        (("horses", "--input", "{in}/bomb.png"), "pixels, more than limits.pixels"),
        (("horses", "--input", "{in}/a.png", "--direction", "b"), "--direction b: is none; a2b and b2a are the two"),
        (("horses", "--input", "{in}/a.png", "--n", "3"), "--n: says nothing of --input"),
        (("horses", "maps", "--input", "{in}/a.png"), "2 generators are named, and one translates"),
        (("horses", "--direction", "a2b"), "--direction: is of --input, which is left out"),
        (("horses", "--input", "{in}/deeper/empty"), "holds no image; name a folder of PNG"),
    ],
)
def test_what_cannot_be_translated_says_why_and_what_works(
    gan: Any, folder: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    Image.fromarray(np.full((4, 6), 7, np.uint8)).save(folder / "grey.png")
    Image.new("1", (8000, 8000)).save(folder / "bomb.png")
    (folder / "deeper" / "empty").mkdir()
    out = tmp_path / ("there" if "empty" in str(words) else "made.png")
    code, _, said = gan(*(word.replace("{in}", str(folder)) for word in words), "--out", out)
    assert code in (1, 2)
    assert message in said
    assert not out.is_file()


def test_one_file_is_written_as_an_image_alone(gan: Any, folder: Path, tmp_path: Path) -> None:
    code, _, said = gan("horses", "--input", folder / "a.png", "--out", tmp_path / "made.npy")
    assert (code, "--out made.png works" in said) == (2, True)


def test_every_image_of_a_folder_is_translated_and_those_that_cannot_be_are_told_at_the_end(
    gan: Any, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, told, said = gan("horses", "--input", folder, "--out", out, "--json")
    assert code == 1
    found = json.loads(told)
    assert (found["made"], found["kept"]) == (3, 0)
    assert [bad["file"] for bad in found["bad"]] == ["cut.png", "large.png", "page.jpg"]
    assert "3 files could not be translated, the first is cut.png: is truncated" in said
    made = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert made == ["a.png", "b.png", "deeper/c.png", "translation.json"]
    assert np.array_equal(pixels(out / "deeper" / "c.png"), 255 - pixels(folder / "deeper" / "c.bmp"))


def test_the_same_command_makes_what_is_missing_alone(gan: Any, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    gan("horses", "--input", folder, "--out", out)
    (out / "b.png").unlink()
    written = (out / "a.png").stat().st_mtime_ns
    for name in ("cut.png", "page.jpg", "large.png"):
        (folder / name).unlink()
    code, told, said = gan("horses", "--input", folder, "--out", out, "--json")
    assert code == 0, said
    assert (json.loads(told)["made"], json.loads(told)["kept"]) == (1, 2)
    assert (out / "a.png").stat().st_mtime_ns == written
    assert (out / "b.png").exists()
    code, _, said = gan("horses", "--input", folder, "--out", out, "--direction", "b2a")
    assert (code, "holds translations with direction=a2b" in said) == (2, True)


def test_with_resize_an_image_of_any_size_is_translated(gan: Any, folder: Path, tmp_path: Path) -> None:
    code, told, _ = gan("horses", "--input", folder, "--out", tmp_path / "out", "--resize", "--json")
    assert (code, json.loads(told)["made"]) == (1, 4)
    assert pixels(tmp_path / "out" / "large.png").shape == (4, 6, 3)


def test_two_files_that_would_become_one_are_neither_made(gan: Any, folder: Path, tmp_path: Path) -> None:
    Image.fromarray(pixels(folder / "a.png")).save(folder / "a.bmp")
    _, told, _ = gan("horses", "--input", folder, "--out", tmp_path / "out", "--json")
    assert {bad["file"] for bad in json.loads(told)["bad"]} >= {"a.png", "a.bmp"}
    assert not (tmp_path / "out" / "a.png").exists()


def test_a_prefix_of_a_remote_store_is_translated_to_another(gan: Any, folder: Path) -> None:
    there = Store("memory://translated")
    for name in ("a.png", "b.png"):
        there.write(f"in/{name}", (folder / name).read_bytes())
    code, told, said = gan("horses", "--input", "memory://translated/in", "--out", "memory://translated/out", "--json")
    assert code == 0, said
    assert json.loads(told)["made"] == 2
    assert {*there.sizes("out")} == {"a.png", "b.png", "translation.json"}
    code, _, said = gan("horses", "--input", folder, "--out", "memory://other/out", "--workers", "2")
    assert (code, "lives in one process" in said) == (2, True)


def test_much_work_is_spread_and_little_is_not(
    store: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int | None, int]] = []

    def spread(profile: Profile, workers: int | None, order: Order, parts: Any) -> Any:
        asked.append((workers, len(parts)))
        return ((len(part), order.translate(part)) for part in parts)

    monkeypatch.setattr(on_ray_translate, "_spread", spread)
    order = Order(generator=(store.url, "models/horses/versions/0001"), source=str(folder),
                  out=Store(tmp_path / "out").url, direction="a2b", resize=False)
    parts = [["a.png"], ["b.png"], ["deeper/c.bmp"], ["cut.png"]]
    for workers, worth in ((None, 1000.0), (1, 0.0), (2, 1000.0), (None, -1.0)):
        found = list(on_ray_translate.carried_out(Profile(), workers, order, parts, worth))
        assert [count for count, _ in found] == [1, 1, 1, 1]
        assert [path for _, bad in found for path, _ in bad] == ["cut.png"]
    assert asked == [(2, 4), (None, 2)]


@pytest.mark.system
def test_workers_make_the_same_files(store: Store, folder: Path, tmp_path: Path) -> None:
    """Of a network that every process has: one of the project's own families, with fresh weights."""
    spec = {"family": "translators", "options": {"shape": [3, 4, 6], "width": 2, "blocks": 1}, "output": [3, 4, 6],
            "inputs": HORSES["inputs"]}
    built = GeneratorSpec.model_validate(spec)
    with artefact(store, "models/own/versions/0001", kind="version", key="own") as draft:
        (draft.path / "generator.json").write_text(built.model_dump_json())
        save_file(built.build().state_dict(), draft.path / "generator.safetensors")
    for workers in ("1", "2"):
        command = [sys.executable, "-m", "pipelines.cli", "sample", store.uri("models/own/versions/0001"), "--input",
                   str(folder), "--out", str(tmp_path / workers), "--workers", workers]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert (done.returncode, "3 files could not be translated" in done.stderr) == (1, True), done.stderr
    for name in ("a.png", "b.png", "deeper/c.png"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_what_another_generator_made_is_not_mixed_with_more(gan: Any, store: Store, tmp_path: Path) -> None:
    made = tmp_path / "in"
    made.mkdir()
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(made / "a.png")
    assert gan("maps", "--input", made, "--out", tmp_path / "out")[0] == 0
    code, _, said = gan("horses", "--input", made, "--out", tmp_path / "out")
    assert (code, "holds translations with digest=" in said) == (2, True)
    (tmp_path / "out" / "translation.json").write_text("{")
    assert "is no JSON" in gan("maps", "--input", made, "--out", tmp_path / "out")[2]
