"""The program in a model card makes the pictures of this package without this package and without torch."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from gan_core.bundle import load_generator
from gan_core.config import experiment_from
from gan_core.errors import ConfigError, ExportDiffers
from gan_core.manifest import artefact, read_manifest
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.onnx_network import OnnxNetwork
from gan_core.pictures import grid, png
from gan_core.registry import FAMILIES
from gan_core.store import Store
from pipelines.stages.evaluate import PER_CLASS, UNLABELLED
from tests.artefacts import a_parent, finish_run, finish_scores, finish_shards, publish_as
from tests.test_export import ATTRIBUTES, files_of, spec_of, translators

ALONE = """
import sys
sys.modules.update(dict.fromkeys(("torch", "gan_core", "pipelines", "safetensors", "onnx", "scipy")))  # none imports
"""
SEED = 7
SETTINGS = {"name": "digits", "data": {"source": "digits"}, "model": {"recipe": "dcgan"}}
VERSION = "models/digits/versions/0001"


def finish(store: Store, spec: GeneratorSpec) -> str:
    """A run that made a generator of this specification."""
    specification, weights = files_of(spec)
    parents = (a_parent(store, finish_shards(store)),)
    with artefact(store, "runs/r1", kind="run", key="r1", parents=parents) as draft:
        (draft.path / "generator.json").write_bytes(specification)
        for name in ("generator.safetensors", "networks.safetensors"):
            (draft.path / name).write_bytes(weights)
        draft.facts["position"] = 64
    return "runs/r1"


def published(store: Store, run: str, samples: bytes = b"\x89PNG") -> None:
    experiment = experiment_from({**SETTINGS, "evaluate": {"seed": SEED}})
    publish_as(store, "p1", run, finish_scores(store, run, samples=samples), experiment)


def made_alone(store: Store, folder: Path, *arguments: str) -> tuple[str, NDArray[np.int64]]:
    """The card's program, and the picture that it makes beside nothing but the files that it reads."""
    card = store.read(f"{VERSION}/README.md").decode()
    code: str = re.findall(r"```python\n(.*?)```", card, re.DOTALL)[1]
    for file in ("generator.json", "generator.onnx"):
        shutil.copy(store.local_path(f"{VERSION}/{file}"), folder / file)
    done = subprocess.run([sys.executable, "-I", "-c", ALONE + code, *arguments], cwd=folder, capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return code, levels(Image.open(folder / "pictures.png"))


def levels(picture: Image.Image) -> NDArray[np.int64]:
    return np.asarray(picture).astype(np.int64)


@pytest.mark.slow
def test_of_a_real_run_it_makes_samples_png_again(undisturbed: tuple[Path, str, str], tmp_path: Path) -> None:
    store = Store(undisturbed[0])
    _, picture = made_alone(store, tmp_path)
    expected = levels(Image.open(io.BytesIO(store.read(f"{VERSION}/samples.png"))))
    assert picture.shape == expected.shape
    assert np.abs(picture - expected).max() <= 1


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.mark.parametrize("classes", [0, 3, 30])
def test_of_noise_and_classes_it_makes_samples_png_again(store: Store, tmp_path: Path, classes: int) -> None:
    run = finish_run(store, classes=classes)
    generator = load_generator(store.uri(run))
    rows = min(classes, 20)
    labels = np.repeat(np.arange(rows), PER_CLASS) if rows else None
    images = generator.sample(rows * PER_CLASS or UNLABELLED, seed=SEED, label=labels)
    published(store, run, samples=png(grid(images, PER_CLASS)))
    code, picture = made_alone(store, tmp_path)
    assert max(map(len, code.splitlines())) <= 120
    for expected in (grid(images, PER_CLASS), Image.open(io.BytesIO(store.read(f"{VERSION}/samples.png")))):
        assert picture.shape == levels(expected).shape
        assert np.abs(picture - levels(expected)).max() <= 1
    assert len(np.unique(picture)) > 50


def test_attributes_are_drawn_as_this_package_draws_them(store: Store, tmp_path: Path) -> None:
    published(store, finish(store, spec_of("dcgan", ATTRIBUTES)))
    _, picture = made_alone(store, tmp_path)
    expected = levels(grid(load_generator(store.uri(VERSION)).sample(UNLABELLED, seed=SEED), PER_CLASS))
    assert picture.shape == expected.shape
    assert np.abs(picture - expected).max() <= 1
    assert len(np.unique(picture)) > 50


def test_images_that_are_named_are_translated(store: Store, tmp_path: Path) -> None:
    published(store, finish(store, translators()))
    photos = np.random.default_rng(0).integers(0, 256, (13, 1, 16, 16), np.uint8)
    for number, photo in enumerate(photos):
        Image.fromarray(photo[0]).save(tmp_path / f"{number}.png")
    _, picture = made_alone(store, tmp_path, *(f"{number}.png" for number in range(13)))
    expected = levels(grid(load_generator(store.uri(VERSION)).sample(13, images=photos), PER_CLASS))
    assert picture.shape == expected.shape
    assert np.abs(picture - expected).max() <= 1


class TwoNoises(nn.Module):
    """An image from two inputs of different shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, style: Tensor, noise: Tensor) -> Tensor:
        return torch.tanh(style[:, :, None, None] + self.gain * noise)


@pytest.fixture
def two_noises() -> Iterator[GeneratorSpec]:
    FAMILIES.register("two_noises")(TwoNoises)
    inputs = {"style": InputSpec(shape=(3,), distribution="normal"),
              "noise": InputSpec(shape=(1, 2, 2), distribution="normal")}
    yield GeneratorSpec(family="two_noises", options={}, inputs=inputs, output=(3, 2, 2))
    FAMILIES.unregister_from(__name__)


def test_a_plug_in_s_generator_is_used_without_the_plug_in(
    store: Store, tmp_path: Path, two_noises: GeneratorSpec
) -> None:
    published(store, finish(store, two_noises))
    images = load_generator(store.uri(VERSION)).sample(UNLABELLED, seed=SEED)
    FAMILIES.unregister_from(__name__)
    again = load_generator(store.uri(VERSION))
    assert isinstance(again.network, OnnxNetwork)
    assert np.abs(images.astype(int) - again.sample(UNLABELLED, seed=SEED)).max() <= 1
    _, picture = made_alone(store, tmp_path)
    assert np.abs(picture - levels(grid(images, PER_CLASS))).max() <= 1


class Restless(TwoNoises):
    """Makes something else each time."""

    calls = 0

    def forward(self, style: Tensor, noise: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(style + 0.5 * self.calls, noise)


def test_a_model_that_makes_other_images_is_never_published(store: Store, two_noises: GeneratorSpec) -> None:
    FAMILIES.unregister_from(__name__)
    FAMILIES.register("two_noises")(Restless)
    run = finish(store, two_noises)
    with pytest.raises(ExportDiffers, match=r"runs/r1: generator\.onnx makes images that differ by \d"):
        published(store, run)
    assert store.names("models") == []


class NoOperator(TwoNoises):
    """What ONNX has no operator for."""

    def forward(self, style: Tensor, noise: Tensor) -> Tensor:
        return super().forward(style, noise) + 0 * torch.linalg.svdvals(noise).sum()


def test_a_plug_in_that_has_no_onnx_form_is_published_without(
    store: Store, two_noises: GeneratorSpec
) -> None:
    FAMILIES.unregister_from(__name__)
    FAMILIES.register("two_noises")(NoOperator)
    published(store, finish(store, two_noises))
    manifest = read_manifest(store, VERSION)
    assert manifest is not None
    assert manifest.file("generator.onnx") is None
    reason = manifest.facts["onnx"]["left_out"]
    assert "svd" in reason
    assert f"This version has no `generator.onnx`: {reason}" in store.read(f"{VERSION}/README.md").decode()
    assert store.read(f"{VERSION}/generator.json") == store.read("runs/r1/generator.json")
    images = load_generator(store.uri(VERSION)).sample(3)
    assert images.shape == (3, 3, 2, 2)
    FAMILIES.unregister_from(__name__)
    with pytest.raises(ConfigError, match=r"unknown network family 'two_noises'.*install the package"):
        load_generator(store.uri(VERSION))
