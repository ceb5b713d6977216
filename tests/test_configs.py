"""The experiments in configs/: each loads, states what was measured, and fits its data; those of digits train."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gan_core.config import Experiment, experiment_from, load_experiment, read_yaml, with_overrides
from gan_core.data.shards import open_shards
from gan_core.data.source import source_of
from gan_core.data.sources.moving_digits import MovingDigits
from gan_core.data.write import write_shards
from gan_core.recipes.recipe import DataSpec
from gan_core.registry import RECIPES
from gan_core.store import Store
from gan_core.train.cost import networks_of
from gan_core.train.loop import fit
from gan_core.transforms import Mode, Pair, Resize
from tests.train.runs import Scripted, finished, place

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(file.stem for file in CONFIGS.glob("*.yaml"))
OF_DIGITS = [name for name in FILES if name.startswith("digits")]
SHAPES = {  # of files of any size, what the transforms make of them
    "digits": (1, 8, 8), "fashion_mnist": (1, 28, 28), "cifar10": (3, 32, 32), "two_domains": (1, 8, 8),
    "image_folder": (3, 0, 0), "npz": (1, 28, 28), "hdf5": (1, 16, 16),
}
TEXTS = {  # tokens of an example, classes and symbols of the set
    "text_lines": (20, 18, 84), "text_file": (0, 0, 66),
}
CHANNELS = {"grey": 1, "rgb": 3, "rgba": 4}
BATCH, STEPS = 16, 4
MEASURED = re.compile(r"^# (Measured 20\d\d-\d\d-\d\d|Not measured here: )", re.MULTILINE)


def opening(name: str) -> str:
    """The comment that a file begins with."""
    return "".join(re.findall(r"\A(?:#.*\n)+", (CONFIGS / f"{name}.yaml").read_text()))


def data_of(experiment: Experiment) -> DataSpec:
    """What the data will be after its transforms, without reading it."""
    if isinstance(clips := experiment.data, MovingDigits):
        assert isinstance(clips.size, int)
        return DataSpec((clips.frames, 1, clips.size, clips.size), 10, "video")
    if experiment.source in TEXTS:
        length, classes, symbols = TEXTS[experiment.source]
        return DataSpec((length or experiment.data.length,), classes, "tokens", symbols=tuple(map(str, range(symbols))))
    if experiment.source == "wav_folder":
        return DataSpec((1, round(8000 * experiment.data.seconds)), 10, "audio", rate=8000.0)
    (channels, height, width), pairs = SHAPES[experiment.source], False
    for transform in experiment.prepare.transforms:
        match transform:
            case Mode(mode=mode):
                channels = CHANNELS[mode]
            case Resize(resize=int(side)):
                height = width = side
            case Pair():
                pairs = True
            case _:
                raise AssertionError(f"what {transform} does to a shape is not known here")
    domains = "unpaired" if experiment.source == "two_domains" else ""
    shape = (channels, height, width)
    return DataSpec(shape, 2 if domains else 10, domains=domains, shape_b=shape if pairs else None)


@pytest.mark.parametrize("name", FILES)
def test_an_experiment_opens_by_saying_what_to_expect_and_what_was_measured(name: str) -> None:
    assert re.search(r"^# Expect: ", opening(name), re.MULTILINE)
    assert MEASURED.search(opening(name))


@pytest.mark.parametrize("name", FILES)
def test_an_experiment_is_named_as_its_file(name: str) -> None:
    assert load_experiment(CONFIGS / f"{name}.yaml").name == name


@pytest.mark.parametrize("name", FILES)
def test_the_networks_of_an_experiment_fit_its_data(name: str) -> None:
    experiment = load_experiment(CONFIGS / f"{name}.yaml")
    networks = networks_of(experiment, data_of(experiment))
    assert sum(p.numel() for net in networks.values() for p in net.parameters()) > 1000


def test_every_recipe_has_an_experiment() -> None:
    tried = {load_experiment(CONFIGS / f"{name}.yaml").recipe for name in FILES}
    assert {*RECIPES} <= tried | {"dcgan_original"}  # whose networks are for 28 and 64 pixels


@pytest.fixture
def same_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.system
@pytest.mark.usefixtures("same_threads")
@pytest.mark.parametrize("name", OF_DIGITS)
def test_an_experiment_on_digits_trains(name: str, tmp_path: Path) -> None:
    """A few steps of one worker, real networks on real data, to a finished run with finite curves."""
    few = (f"train.images={BATCH * STEPS}", f"train.batch={BATCH}", "train.workers=1", f"train.report_every={BATCH}")
    experiment = experiment_from(with_overrides(read_yaml(CONFIGS / f"{name}.yaml"), few))
    store, heard = Store(tmp_path), Scripted()
    write_shards(source_of(experiment), store, "shards/x", shard_examples=4096, key="x")
    assert fit(experiment, open_shards(store, "shards/x"), place(store), heard, threads=1)
    assert finished(store).facts["position"] == BATCH * STEPS
    assert len(heard.rows) == STEPS
    assert all(math.isfinite(value) for _, row in heard.rows for value in row.values())
