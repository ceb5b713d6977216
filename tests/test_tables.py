from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from gan_core.pictures import gif
from gan_core.tables import GAP, PAPER, below_each_other, drawable, table

NAMES = {"rows": ["class 0", "class 1"], "columns": ["0", "0.5", "1"]}


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (2, 3, *shape), np.uint8)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (3, 80, 100), (1, 1, 4)])
def test_every_image_is_in_the_table_whole_in_its_row_and_column(shape: tuple[int, int, int]) -> None:
    given = images(*shape)
    sheet = np.asarray(table(given, **NAMES, title="A title"))
    factor = max(1, 64 // max(shape[1:]))
    pixels = given.repeat(factor, 3).repeat(factor, 4).transpose(0, 1, 3, 4, 2)
    cells = np.broadcast_to(pixels, (*pixels.shape[:4], 3))
    places = [[_place(sheet, cell) for cell in row] for row in cells]
    assert all(a[0] == b[0] and a[1] + cells.shape[3] + GAP <= b[1] for row in places
               for a, b in pairwise(row))
    assert all(upper[1] == lower[1] and upper[0] + cells.shape[2] + GAP <= lower[0]
               for upper, lower in zip(*places, strict=True))


def _place(sheet: np.ndarray, cell: np.ndarray) -> tuple[int, int]:
    """Top and left of the one place in a picture [H, W, 3] where a smaller one is."""
    height, width, _ = cell.shape
    begins = np.argwhere((sheet == cell[0, 0]).all(axis=2)).tolist()
    ((top, left),) = [(y, x) for y, x in begins if np.array_equal(sheet[y : y + height, x : x + width], cell)]
    return top, left


def test_names_are_drawn_and_not_cut_off() -> None:
    long = "a long name " * 8
    sheet = np.asarray(table(images(1, 8, 8), [long, "b"], [long, "", ""], long))
    edges = np.concatenate([sheet[:4].reshape(-1, 3), sheet[-4:].reshape(-1, 3), sheet[:, :4].reshape(-1, 3),
                            sheet[:, -4:].reshape(-1, 3)])
    assert (edges == PAPER).all()
    plain = np.asarray(table(images(1, 8, 8), ["", ""], [""] * 3, ""))
    assert (sheet != 255).sum() > (plain != 255).sum()


def test_captions_stand_below_their_images_and_hide_none() -> None:
    given = images(1, 8, 8)
    plain = np.asarray(table(given, **NAMES, title=""))
    named = np.asarray(table(given, **NAMES, title="", captions=[["a", "", "b"], ["", "c", ""]]))
    assert named.shape[0] > plain.shape[0]
    tops = []
    for row in given:
        cells = row.repeat(8, 2).repeat(8, 3).transpose(0, 2, 3, 1)
        places = [_place(named, np.broadcast_to(cell, (64, 64, 3))) for cell in cells]
        tops.append(places[0][0])
        below = [(named[top + 64 + GAP : top + 80, left : left + 64] < 255).any() for top, left in places]
        assert below == ([True, False, True] if len(tops) == 1 else [False, True, False])


def test_pictures_below_each_other_are_all_there() -> None:
    first, second = (Image.new("RGB", size, colour) for size, colour in (((5, 4), "red"), ((9, 3), "blue")))
    sheet = below_each_other([first, second])
    assert sheet.getpixel((0, 0)) == (255, 0, 0)
    assert sheet.getpixel((sheet.width - 1, sheet.height - 1)) == (0, 0, 255)


def test_a_gif_has_every_frame_and_goes_round() -> None:
    frames = [Image.fromarray(image[0]) for image in images(1, 8, 8)[0]]
    with Image.open(io.BytesIO(gif(frames, 60))) as read:
        assert (read.n_frames, read.info["loop"], read.info["duration"]) == (3, 0, 60)
        for number, frame in enumerate(frames):
            read.seek(number)
            assert (np.asarray(read.convert("L")) == np.asarray(frame)).all()


@pytest.mark.parametrize(("name", "can"), [("class 3", True), ("Größe", False), ("猫", False), ("", False)])
def test_names_in_other_alphabets_are_known(name: str, can: bool) -> None:
    assert drawable(name) == can
