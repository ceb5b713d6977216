"""Tables of images: names beside the rows and above the columns.

Names are drawn in Pillow's own font, so that a picture has the same bytes wherever it is made.  It is Latin only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gan_core.pictures import enlarged

TEXT, TITLE = 12, 14  # pixels
GAP, MARGIN = 3, 10
BETWEEN = 14  # two tables
INK, QUIET, PAPER = (28, 37, 48), (91, 104, 117), (255, 255, 255)


def table(
    images: NDArray[np.uint8], rows: Sequence[str], columns: Sequence[str], title: str,
    captions: Sequence[Sequence[str]] = (),
) -> Image.Image:
    """[R, K, C, H, W] uint8 as one picture with R names of rows and K of columns; C is 1 (grey) or 3 (RGB).

    Small images are enlarged by a whole factor up to about 64 pixels.  title: '' for none.  captions: what stands below
    each image, [R, K]; () for nothing.
    """
    cells = [[enlarged(image) for image in row] for row in images]
    below = TEXT + 6 if captions else 0
    across = max([cells[0][0].width, *(_width(name) + 4 for name in columns)]) + GAP
    high = max(cells[0][0].height, TEXT + 4)
    down = high + below + GAP
    left, top = MARGIN + max(map(_width, rows)) + MARGIN, MARGIN + (TITLE + 10 if title else 0) + TEXT + 6
    right = max(left + len(columns) * across - GAP, MARGIN + _width(title, TITLE)) + MARGIN
    sheet = Image.new("RGB", (right, top + len(rows) * down - GAP + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, fill=INK, font=_font(TITLE), anchor="la")
    for place, name in enumerate(columns):
        draw.text((left + place * across + (across - GAP) // 2, top - 5), name, fill=QUIET, font=_font(), anchor="ms")
    for number, (name, row) in enumerate(zip(rows, cells, strict=True)):
        y = top + number * down
        draw.text((left - MARGIN, y + high // 2), name, fill=QUIET, font=_font(), anchor="rm")
        for place, cell in enumerate(row):
            sheet.paste(cell, (left + place * across + (across - GAP - cell.width) // 2, y))
        for place, caption in enumerate(captions[number] if captions else ()):
            middle = left + place * across + (across - GAP) // 2
            draw.text((middle, y + high + TEXT), caption, fill=QUIET, font=_font(), anchor="ms")
    return sheet


def below_each_other(pictures: Sequence[Image.Image]) -> Image.Image:
    """One picture of several, from the top."""
    height = sum(picture.height for picture in pictures) + BETWEEN * (len(pictures) - 1)
    sheet = Image.new("RGB", (max(picture.width for picture in pictures), height), PAPER)
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height + BETWEEN
    return sheet


def drawable(name: str) -> bool:
    """Whether a name can be read in Pillow's font."""
    return bool(name) and name.isascii() and name.isprintable()


@lru_cache(maxsize=2)
def _font(size: int = TEXT) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _width(text: str, size: int = TEXT) -> int:
    return math.ceil(_font(size).getlength(text))
