"""What `gan sample` writes besides grids, and how images are varied and joined."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from PIL import Image, ImageSequence
from typer.testing import CliRunner

from gan_core.bundle import load_generator
from gan_core.errors import ConfigError, GanError
from gan_core.interpolation import interpolated
from gan_core.mixture import Mixture
from gan_core.store import Store
from pipelines.cli_sample import sample
from tests.artefacts import finish_run, finish_scores, publish_as, publish_one
from tests.s3_server import s3_server

app = typer.Typer()
app.command()(sample)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two versions of a generator of grey images by class."""
    made = Store(tmp_path_factory.mktemp("published") / "store")
    for number, seed in (("1", 0), ("2", 1)):
        run = finish_run(made, f"r{number}", seed=seed)
        publish_as(made, f"p{number}", run, finish_scores(made, run, f"e{number}"))
    return made


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(tmp_path_factory.mktemp("colour") / "store")
    publish_one(made, channels=3, classes=0)
    return made


@pytest.fixture
def memory() -> Iterator[Store]:
    made = Store("memory://sampled")
    yield made
    made.delete("")


def gan(store: Store, *arguments: str) -> Any:
    """What --json tells."""
    result = CliRunner().invoke(app, [*arguments, "--store", store.url, "--json"])
    if isinstance(result.exception, GanError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def frames_of(file: Path, mode: str) -> list[NDArray[np.uint8]]:
    """The frames at the generator's own size."""
    with Image.open(file) as animation:
        factor = animation.width // 8
        return [np.asarray(frame.convert(mode))[::factor, ::factor] for frame in ImageSequence.Iterator(animation)]


def test_an_npy_file_holds_the_images_as_they_are(store: Store, tmp_path: Path) -> None:
    told = gan(store, "digits@1", "--n", "5", "--seed", "3", "--out", str(tmp_path / "new" / "some.npy"))
    found = np.load(tmp_path / "new" / "some.npy")
    assert found.dtype == np.uint8
    assert_array_equal(found, load_generator(told["uri"]).sample(5, seed=3))


def test_an_npy_file_holds_channels_that_pictures_have_not(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    publish_one(store, channels=2)
    gan(store, "digits", "--n", "3", "--out", str(tmp_path / "some.npy"))
    assert np.load(tmp_path / "some.npy").shape == (3, 2, 8, 8)


def test_a_gif_shows_each_image_unchanged_and_goes_round_for_ever(store: Store, tmp_path: Path) -> None:
    told = gan(store, "digits@1", "--n", "4", "--out", str(tmp_path / "a.gif"))
    images = load_generator(told["uri"]).sample(4)
    assert_array_equal(np.stack(frames_of(tmp_path / "a.gif", "L"))[:, None], images)
    with Image.open(tmp_path / "a.gif") as animation:
        assert (animation.info["loop"], animation.info["duration"]) == (0, 500)
        assert animation.size == (128, 128)


def test_a_gif_has_colours(colour: Store, tmp_path: Path) -> None:
    told = gan(colour, "digits", "--n", "3", "--out", str(tmp_path / "a.gif"))
    frames = np.stack(frames_of(tmp_path / "a.gif", "RGB")).transpose(0, 3, 1, 2)
    assert_array_equal(frames, load_generator(told["uri"]).sample(3))  # of 64 colours each, which a palette holds


def test_an_interpolation_is_a_loop_of_one_class(store: Store, tmp_path: Path) -> None:
    told = gan(store, "digits@1", "--interpolate", "4", "--n", "3", "--label", "3", "--seed", "7", "--seconds", "2.4",
               "--out", str(tmp_path / "a.gif"))
    assert (told["n"], told["interpolate"], told["label"]) == (3, 4, 3)
    made = interpolated(load_generator(told["uri"]), 3, 4, seed=7, label=3)
    assert_array_equal(np.stack(frames_of(tmp_path / "a.gif", "L"))[:, None], made)
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.info["duration"] == 200


def test_an_interpolation_without_a_label_is_of_the_first_images_class_and_says_so(
    store: Store, tmp_path: Path
) -> None:
    told = gan(store, "digits@1", "--interpolate", "5", "--out", str(tmp_path / "a.npy"))
    assert (told["n"], told["label"]) == (8, 0)
    assert_array_equal(np.load(tmp_path / "a.npy")[::5], load_generator(told["uri"]).sample(8, label=0))


def test_a_grid_of_an_interpolation_has_a_row_from_each_image_to_the_next(store: Store, tmp_path: Path) -> None:
    gan(store, "digits@1", "--interpolate", "5", "--n", "2", "--label", "3", "--out", str(tmp_path / "a.png"))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == ((5 * 9 + 1) * 8, (2 * 9 + 1) * 8)


def test_the_first_image_of_a_seed_is_the_first_of_grid_animation_and_interpolation(
    store: Store, tmp_path: Path
) -> None:
    firsts = []
    for name, more in {"grid.npy": [], "three.npy": ["--n", "3"], "loop.npy": ["--interpolate", "3"]}.items():
        gan(store, "digits@1", "--seed", "9", "--label", "4", *more, "--out", str(tmp_path / name))
        firsts.append(np.load(tmp_path / name)[0])
    assert_array_equal(firsts[1:], [firsts[0]] * 2)


def test_truncated_samples_are_the_generators(store: Store, tmp_path: Path) -> None:
    told = gan(store, "digits@1", "--truncation", "0.5", "--n", "4", "--out", str(tmp_path / "a.npy"))
    assert told["truncation"] == 0.5
    assert_array_equal(np.load(tmp_path / "a.npy"), load_generator(told["uri"]).sample(4, truncation=0.5))


def test_truncation_goes_to_each_generator_of_a_mixture(store: Store, tmp_path: Path) -> None:
    told = gan(store, "digits@1", "digits@2", "--truncation", "0.5", "--n", "16", "--out", str(tmp_path / "a.npy"))
    one, other = (load_generator(each["uri"]) for each in told["generators"])
    which = Mixture.of([one, other]).which(16)
    assert 0 < which.sum() < 16
    made = [generator.sample(16, truncation=0.5) for generator in (one, other)]
    assert_array_equal(np.load(tmp_path / "a.npy"), np.where(which[:, None, None, None] == 0, *made))


def test_the_average_of_generators_is_interpolated(store: Store, tmp_path: Path) -> None:
    gan(store, "digits@1", "digits@2", "--average", "--interpolate", "2", "--n", "2", "--out", str(tmp_path / "a.npy"))
    assert np.load(tmp_path / "a.npy").shape == (4, 1, 8, 8)


def test_images_go_to_any_store(store: Store, memory: Store, tmp_path: Path) -> None:
    told = gan(store, "digits@1", "--n", "4", "--out", f"{memory.url}/grids/four.png")
    assert told["out"] == "memory://sampled/grids/four.png"
    gan(store, "digits@1", "--n", "4", "--out", str(tmp_path / "four.png"))
    assert memory.read("grids/four.png") == (tmp_path / "four.png").read_bytes()


def test_images_go_to_a_bucket(store: Store) -> None:
    with s3_server("grids", "a-secret"):
        gan(store, "digits@1", "--n", "4", "--out", "s3://grids/of/four.npy")
        assert Store("s3://grids").names("of") == ["four.npy"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits@1", "digits@2", "--interpolate", "4"], "--interpolate 4: .*several were named; .*--average$"),
        (["digits@1", "--interpolate", "1"], "--n 8 --interpolate 1: .*--n 8 --interpolate 16 works"),
        (["digits@1", "--interpolate", "4", "--n", "1"], "--n 1 --interpolate 4: two images and two steps"),
        (["digits@1", "--interpolate", "101", "--n", "100"], "--n 100 --interpolate 101: .*10,000 images in all"),
        (["digits@1", "--interpolate", "4", "--images", "some"], "makes images from nothing and translates none"),
        (["digits@1", "--truncation", "0"], r"truncation=0\.0: not a number above 0; truncation=1 works"),
        (["digits@1", "--seconds", "2"], r"--seconds 2: .*a\.png does not move; --out a\.gif works"),
        (["digits@1", "--out", "{tmp}/a.gif", "--n", "1001"], "1,001 frames, .* at most 1,000"),
        (["digits@1", "--out", "{tmp}/a.gif", "--n", "100", "--seconds", "1"],
         "--seconds 1: of 100 frames each is shown from 0.02 to 60 s; --seconds 6 works"),
    ],
)
def test_files_that_cannot_be_say_what_works(
    store: Store, tmp_path: Path, arguments: list[str], message: str
) -> None:
    given = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    with pytest.raises(ConfigError, match=message):
        gan(store, *given, *([] if "--out" in given else ["--out", str(tmp_path / "a.png")]))
    assert list(tmp_path.iterdir()) == []
