"""Pairs made of single images: edges, coarse squares, maps of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from gan_core.data.source import Example
from gan_core.data.transforms import apply
from gan_core.errors import ConfigError, DataError
from gan_core.transforms import Transform
from tests.pairs import pairs

READ: TypeAdapter[tuple[Transform, ...]] = TypeAdapter(tuple[Transform, ...])
GREY = np.random.default_rng(0).integers(0, 256, (12, 10), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (12, 10, 3), dtype=np.uint8)


def made(image: Any, *steps: dict[str, Any]) -> Example:
    return apply(Example(np.asarray(image, np.uint8), label=3), READ.validate_python(steps))


@pytest.mark.parametrize("pair", ["edges", "small", "levels"])
@pytest.mark.parametrize("image", [GREY, GREY[:, :, None], COLOUR])
def test_the_image_itself_is_the_second_of_the_pair(image: Any, pair: str) -> None:
    found = made(image, {"pair": pair})
    assert found.image_b is not None
    assert found.image is not None
    assert (found.image_b == image).all()
    assert found.image.shape[:2] == image.shape[:2]
    assert found.label == 3


def test_edges_are_where_brightness_steps_by_enough() -> None:
    halves = np.zeros((8, 8), np.uint8)
    halves[:, 4:] = 90
    assert not made(halves, {"pair": "edges"}).image.any()  # type: ignore[union-attr]
    halves[:, 4:] = 100
    expected = np.zeros((8, 8), np.uint8)
    expected[:, 3:5] = 255
    assert (made(halves, {"pair": "edges"}).image == expected).all()
    assert (made(halves.T, {"pair": "edges"}).image == expected.T).all()
    halves[:, 4:] = 60
    assert (made(halves, {"pair": "edges", "parts": 8}).image == expected).all()


def test_small_keeps_the_mean_of_each_square() -> None:
    found = made(COLOUR, {"pair": "small", "parts": 2}).image
    assert found is not None
    assert (found[::2] == found[1::2]).all()
    assert (found[:, ::2] == found[:, 1::2]).all()
    assert np.abs(found[2, 4] - COLOUR[2:4, 4:6].mean((0, 1))).max() <= 1  # Pillow rounds along either side
    assert made(GREY, {"pair": "small", "parts": 4}).image.shape == GREY.shape  # type: ignore[union-attr]


def test_levels_are_class_indices() -> None:
    found = made([[0, 63, 64], [128, 192, 255]], {"pair": "levels", "parts": 4}).image
    assert found is not None
    assert found.tolist() == [[0, 0, 1], [2, 3, 3]]


def test_what_follows_is_done_to_both() -> None:
    found = made(GREY, {"pair": "levels"}, {"flip": "horizontal"})
    assert (found.image_b == GREY[:, ::-1]).all()
    assert (found.image == GREY[:, ::-1] // 64).all()


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (Example(GREY, image_b=GREY), "pair makes pairs of single images, and this holds image, image_b; leave it out"),
        (Example(audio=np.zeros(8, np.int16)), "is for images|single images"),
        (Example(np.zeros((4, 4, 4), np.uint8)), r"add \{background: white\} before \{pair: …\}"),
        (Example(np.zeros((3, 9), np.uint8)), "is 3x9, which is not 4 times smaller"),
    ],
)
def test_what_no_pair_is_made_of_says_why(example: Example, message: str) -> None:
    pair = "edges" if example.image is not None and example.image.ndim == 3 else "small"
    with pytest.raises(DataError, match=message):
        apply(example, READ.validate_python([{"pair": pair}]))


@pytest.mark.parametrize(("changed", "message"), [({"pair": "shadows"}, "edges"), ({"parts": 0}, "greater than")])
def test_a_pair_that_is_not_known_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pairs(prepare={"transforms": [{"pair": "edges", **changed}]})
