from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gan_core.asked import rows
from gan_core.bundle import Generator, read_generator
from gan_core.errors import ConfigError
from gan_core.models.spec import GeneratorSpec
from gan_core.store import Store
from tests.artefacts import CLASSES, SHAPE, finish_run

SMILING: dict[str, Any] = {"name": "smiling", "kind": "binary"}
HAIR: dict[str, Any] = {"name": "hair", "kind": "categorical", "values": 5}
AGE: dict[str, Any] = {"name": "age", "kind": "continuous", "low": 18, "high": 80}
SCALES = torch.tensor([1, 4, 80])  # of smiling, hair and age


class Told(torch.nn.Module):
    """Images of four pixels: the three attributes, by their scales from 0 to 1, and the noise."""

    def forward(self, z: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return torch.cat([2 * label / SCALES - 1, torch.tanh(z)], 1)[:, None, None]


class Negative(torch.nn.Module):
    """Domain 0 is the image, domain 1 its negative."""

    def forward(self, image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return image * (1 - 2 * label)[:, None, None, None]


def by_attributes() -> Generator:
    given = {"z": {"shape": (1,), "distribution": "normal"},
             "label": {"shape": (3,), "distribution": "condition", "attributes": (SMILING, HAIR, AGE)}}
    spec = {"family": "any", "options": {}, "inputs": given, "output": (1, 1, 4)}
    return Generator("here", GeneratorSpec.model_validate(spec), Told())


def translator() -> Generator:
    given = {"image": {"shape": (3, 4, 4), "distribution": "image"},
             "label": {"shape": (), "distribution": "condition", "classes": 2}}
    spec = {"family": "any", "options": {}, "inputs": given, "output": (3, 4, 4)}
    return Generator("here", GeneratorSpec.model_validate(spec), Negative())


def values_in(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The attributes that images of `Told` show, [n, 3]."""
    return images[:, 0, 0, :3] / 255 * SCALES.numpy()


@pytest.fixture
def generator(tmp_path: Path) -> Generator:
    """One that is asked for labels."""
    store = Store(tmp_path / "store")
    return read_generator(store, finish_run(store))


def test_attributes_that_are_named_are_those_of_every_image() -> None:
    images = by_attributes().sample(100, attributes={"smiling": 1, "hair": 3, "age": 50})
    np.testing.assert_allclose(values_in(images), np.tile([1, 3, 50], (100, 1)), atol=0.2)
    assert len(np.unique(images[:, 0, 0, 3])) > 50


def test_an_array_of_attributes_has_a_row_for_each_image() -> None:
    wanted = np.array([[0, 4, 18], [1, 0, 80], [1, 2, 33.5]], np.float32)
    np.testing.assert_allclose(values_in(by_attributes().sample(3, attributes=wanted)), wanted, atol=0.2)


def test_attributes_that_are_not_named_take_all_their_values() -> None:
    smiling, hair, age = values_in(by_attributes().sample(2000, seed=3)).round().T
    assert {*smiling} == {0, 1}
    assert {*hair} == {0, 1, 2, 3, 4}
    assert (age.min(), age.max()) == (18, 80)
    assert all(abs(np.mean(hair == value) - 0.2) < 0.03 for value in range(5))
    assert len({*zip(smiling, hair, strict=True)}) == 10


def test_naming_one_attribute_changes_neither_the_others_nor_the_noise() -> None:
    free, named = (by_attributes().sample(70, seed=2, attributes=asked) for asked in (None, {"hair": 4}))
    np.testing.assert_array_equal(free[..., [0, 2, 3]], named[..., [0, 2, 3]])
    assert (free[..., 1] != named[..., 1]).any()


@pytest.mark.parametrize("attributes", [None, {"smiling": 1}])
def test_the_first_n_of_more_samples_by_attributes_are_the_n_samples(attributes: dict[str, float] | None) -> None:
    few, more = (by_attributes().sample(n, seed=5, attributes=attributes) for n in (37, 100))
    np.testing.assert_array_equal(more[:37], few)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"smile": 1}, r"here knows no 'smile'; it knows smiling 0 or 1, hair 0 to 4, age 18 to 80"),
        ({"smiling": 0.5}, r"smiling=0\.5: smiling is 0 or 1"),
        ({"hair": 5}, r"hair=5: hair is 0 to 4"),
        ({"hair": -1}, r"hair=-1: hair is 0 to 4"),
        ({"hair": 1.5}, r"hair=1\.5: hair is 0 to 4"),
        ({"age": 17.9}, r"age=17\.9: age is 18 to 80"),
        ({"age": float("nan")}, r"age=nan: age is 18 to 80"),
        ({"hair": "red"}, r"hair=red: not a number; hair is 0 to 4"),
        (np.zeros((3, 2), np.float32), r"float32 \[3, 2\], and here takes numbers \[3, 3\]: smiling 0 or 1"),
        (np.full((3, 3), "1"), r"takes numbers \[3, 3\]"),
        (np.array([[0, 0, 18], [0, 0, 18], [0, 7, 18.0]]), r"hair=7: hair is 0 to 4"),
    ],
)
def test_attributes_that_cannot_be_are_refused_with_those_that_work(attributes: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        by_attributes().sample(3, attributes=attributes)


def test_the_ends_of_a_range_are_inside_it_as_training_saw_them() -> None:
    ends = np.array([[0.1], [0.7]])
    given = {"label": {"shape": (1,), "distribution": "condition",
                       "attributes": ({"name": "a", "kind": "continuous", "low": 0.1, "high": 0.7},)}}
    spec = GeneratorSpec.model_validate({"family": "any", "options": {}, "inputs": given, "output": (1, 1, 1)})
    for asked in (ends, ends.astype(np.float32)):
        assert rows(spec, "here", 2, 0, None, asked, None)["label"].shape == (2, 1)


def test_labels_and_attributes_are_not_exchanged(generator: Generator) -> None:
    with pytest.raises(ConfigError, match="label=3: here was trained without labels; it knows smiling 0 or 1, hair"):
        by_attributes().sample(3, label=3)
    with pytest.raises(ConfigError, match="was trained without attributes; label=0 to label=9 work"):
        generator.sample(3, attributes={"smiling": 1})
    unconditional = Generator("here", GeneratorSpec.model_validate(
        {"family": "any", "options": {}, "inputs": {}, "output": (1, 1, 1)}), Told())
    with pytest.raises(ConfigError, match="was trained without attributes; leave them out"):
        unconditional.sample(3, attributes={"smiling": 1})


def test_a_published_generator_says_what_it_can_be_asked_for(generator: Generator) -> None:
    assert (generator.classes, generator.attributes, generator.translates) == (CLASSES, (), None)
    assert [attribute.name for attribute in by_attributes().attributes] == ["smiling", "hair", "age"]
    assert (by_attributes().classes, translator().classes, translator().translates) == (0, 2, (3, 4, 4))


@pytest.mark.parametrize("n", [1, 100])
def test_a_translator_translates_each_image_to_the_domain_asked_for(n: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (n, 3, 4, 4), np.uint8)
    np.testing.assert_array_equal(translator().sample(n, images=images, label=0), images)
    np.testing.assert_array_equal(translator().sample(n, images=images), 255 - images)
    each = np.arange(n, dtype=np.int64) % 2
    mixed = translator().sample(n, images=images, label=each)
    np.testing.assert_array_equal(mixed[each == 0], images[each == 0])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, r"here translates images and was given none; images=uint8 \[2, 3, 4, 4\] work"),
        (np.zeros((2, 3, 5, 4), np.uint8), r"uint8 \[2, 3, 5, 4\], and here takes uint8 \[2, 3, 4, 4\]"),
        (np.zeros((3, 3, 4, 4), np.uint8), r"uint8 \[3, 3, 4, 4\], and here takes"),
        (np.zeros((2, 3, 4, 4)), r"float64 .* takes uint8 \[2, 3, 4, 4\], one for each of n=2"),
    ],
)
def test_images_that_cannot_be_translated_are_refused(images: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        translator().sample(2, images=images)


def test_a_generator_that_translates_nothing_takes_no_images(generator: Generator) -> None:
    with pytest.raises(ConfigError, match="makes images from nothing and translates none; leave them out"):
        generator.sample(2, images=np.zeros((2, *SHAPE), np.uint8))
