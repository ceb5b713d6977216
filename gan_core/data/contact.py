"""A contact sheet: a few examples of each class on one picture, a row a class, whatever the examples are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gan_core.data.checks.report import Report, plural
from gan_core.data.source import Example

SMALLEST, LARGEST = 48, 96  # pixels of a tile's longer side
COLUMNS, WIDEST = 10, 1120  # tiles in a row, and pixels of them all
GAP, MARGIN = 4, 12
TEXT_SIZE, NAME_WIDTH = 13, 170  # pixels; a class name is cut at that width
INK, QUIET, PAPER, PANEL = (28, 37, 48), (91, 104, 117), (255, 255, 255), (240, 243, 246)
CHECKS = ((255, 255, 255), (214, 220, 226))  # behind what is transparent
WAVE = (59, 130, 214)
WAVE_SIZE = (150, 52)
TEXT_WIDTH = 880
ROWS = 12  # of a set without labels

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Heading = tuple[str, str] | None  # a class's name and its count


def contact_sheet(report: Report) -> Image.Image:
    """The samples of a check: up to 20 classes, or examples without labels, each class with its name and count."""
    counts: Counter[int] = Counter(report.splits["train"].histogram) if "train" in report.splits else Counter()
    vocabulary = report.facts.get("vocabulary")
    symbols = [str(symbol) for symbol in vocabulary] if isinstance(vocabulary, list | tuple) else []
    rows = []
    for label, examples in report.samples.items():
        tiles = [tile(example, symbols) for example in examples]
        heading = None if label is None else (report.class_name(label), plural(counts[label], "example"))
        rows += [(heading, tiles)] if tiles else []
    return _sheet(rows)


def tile(example: Example, symbols: Sequence[str] = ()) -> Image.Image:
    """One example as a picture.  symbols: by token."""
    if example.image is not None and example.image_b is not None:
        return _beside([picture(example.image), picture(example.image_b)])
    if example.image is not None:
        return picture(example.image)
    if example.video is not None:
        ends = [0, len(example.video) // 2, len(example.video) - 1]
        return _beside([picture(example.video[i]) for i in ends])
    if example.audio is not None:
        return waveform(example.audio)
    return text_line(example.tokens if example.tokens is not None else np.empty(0, np.int32), symbols)


def picture(image: NDArray[np.uint8]) -> Image.Image:
    """An image [H, W] or [H, W, C] between 48 and 96 pixels: small ones by whole factors, alpha on a checkerboard."""
    flat = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    found = Image.fromarray(np.ascontiguousarray(flat))
    long_side = max(found.size)
    if long_side < SMALLEST:
        factor = math.ceil(SMALLEST / long_side)
        found = found.resize((found.width * factor, found.height * factor), Image.Resampling.NEAREST)
    elif long_side > LARGEST:
        scale = LARGEST / long_side
        size = (max(1, round(found.width * scale)), max(1, round(found.height * scale)))
        found = found.resize(size, Image.Resampling.LANCZOS)
    if found.mode in ("LA", "RGBA"):
        found = Image.alpha_composite(_checkerboard(found.size), found.convert("RGBA"))
    return found.convert("RGB")


def waveform(audio: NDArray[np.int16]) -> Image.Image:
    """The lowest and highest sample of each stretch of the first channel, full scale from top to bottom."""
    width, height = WAVE_SIZE
    samples = (audio[0] if audio.ndim == 2 else audio).astype(np.float64) / 32_768
    drawn = Image.new("RGB", WAVE_SIZE, PANEL)
    draw = ImageDraw.Draw(drawn)
    edges = np.linspace(0, len(samples), width + 1).astype(int)
    for x, (start, stop) in enumerate(pairwise(edges.tolist())):
        part = samples[start : max(stop, start + 1)]
        if len(part):
            top, bottom = (round((1 - level) / 2 * (height - 1)) for level in (part.max(), part.min()))
            draw.line((x, top, x, bottom), fill=WAVE)
    return drawn


def text_line(tokens: NDArray[np.int32], symbols: Sequence[str]) -> Image.Image:
    """Tokens as one line, without the padding at its end, cut to the sheet's width; line breaks as \\n."""
    used = np.flatnonzero(tokens)
    kept = tokens[: int(used[-1]) + 1 if len(used) else 0].tolist()
    if symbols:
        text = "".join(symbols[token] if 0 <= token < len(symbols) else "?" for token in kept)
    else:
        text = " ".join(map(str, kept))
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    shown = _fitted(shown, TEXT_WIDTH)
    drawn = Image.new("RGB", (_width(shown) + 12, TEXT_SIZE + 8), PANEL)
    ImageDraw.Draw(drawn).text((6, 3), shown, fill=INK, font=_font())
    return drawn


def _sheet(rows: Sequence[tuple[Heading, Sequence[Image.Image]]]) -> Image.Image:
    tiles = [drawn for _, row in rows for drawn in row]
    if not tiles:
        return _notice("There is nothing to show.")
    cell = max(drawn.width for drawn in tiles), max(drawn.height for drawn in tiles)
    lines = list(_lines(rows, max(1, min(COLUMNS, (WIDEST + GAP) // (cell[0] + GAP)))))
    names = [_fitted(heading[0], NAME_WIDTH) for heading, _ in lines if heading]
    counts = [heading[1] for heading, _ in lines if heading]
    left = MARGIN + (max(map(_width, names + counts)) + 2 * MARGIN if names else 0)
    tops = _tops([heading is not None for heading, _ in lines], cell[1] + GAP)
    columns = max(len(line) for _, line in lines)
    sheet = Image.new("RGB", (left + columns * (cell[0] + GAP) - GAP + MARGIN, tops[-1] + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    for (heading, line), top in zip(lines, tops[:-1], strict=True):
        if heading:
            draw.text((MARGIN, top + 2), _fitted(heading[0], NAME_WIDTH), fill=INK, font=_font())
            draw.text((MARGIN, top + TEXT_SIZE + 6), heading[1], fill=QUIET, font=_font(TEXT_SIZE - 2))
        for column, drawn in enumerate(line):
            _letterbox(sheet, drawn, (left + column * (cell[0] + GAP), top), cell)
    return sheet


def _lines(
    rows: Sequence[tuple[Heading, Sequence[Image.Image]]], columns: int
) -> Iterator[tuple[Heading, Sequence[Image.Image]]]:
    """Each class as one line of tiles, or two where few fit in one; what has no class as many as it fills."""
    for heading, row in rows:
        most = columns * (ROWS if heading is None else 2 if columns <= COLUMNS // 2 else 1)
        for start in range(0, min(most, len(row)), columns):
            yield heading if start == 0 else None, row[start : min(start + columns, most)]


def _tops(headed: Sequence[bool], pitch: int) -> list[int]:
    """Where each line of tiles begins, and where the last one ends; a heading has room for its two lines."""
    tops: list[int] = []
    top = room = MARGIN
    for is_first in headed:
        if is_first:
            top = max(top + (GAP if tops else 0), room)
            room = top + 2 * TEXT_SIZE + 10
        tops.append(top)
        top += pitch
    return [*tops, max(top - GAP, room)]


def _letterbox(sheet: Image.Image, drawn: Image.Image, at: tuple[int, int], cell: tuple[int, int]) -> None:
    if drawn.size != cell:
        sheet.paste(PANEL, (*at, at[0] + cell[0], at[1] + cell[1]))
    left = 0 if drawn.height == TEXT_SIZE + 8 else (cell[0] - drawn.width) // 2  # text begins where the others do
    sheet.paste(drawn, (at[0] + left, at[1] + (cell[1] - drawn.height) // 2))


def _beside(parts: Sequence[Image.Image]) -> Image.Image:
    width = sum(part.width for part in parts) + 2 * (len(parts) - 1)
    joined = Image.new("RGB", (width, max(part.height for part in parts)), PAPER)
    left = 0
    for part in parts:
        joined.paste(part, (left, 0))
        left += part.width + 2
    return joined


def _checkerboard(size: tuple[int, int], side: int = 8) -> Image.Image:
    x, y = np.meshgrid(np.arange(size[0]) // side, np.arange(size[1]) // side)
    return Image.fromarray(np.array(CHECKS, np.uint8)[(x + y) % 2]).convert("RGBA")


def _notice(text: str) -> Image.Image:
    sheet = Image.new("RGB", (320, 48), PAPER)
    ImageDraw.Draw(sheet).text((MARGIN, 14), text, fill=QUIET, font=_font())
    return sheet


@lru_cache(maxsize=4)
def _font(size: int = TEXT_SIZE) -> Font:
    """DejaVu Sans, which has most alphabets, from the system or from matplotlib; else Pillow's own, Latin only."""
    package = find_spec("matplotlib")
    beside = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" if package and package.origin else Path()
    for name in ("DejaVuSans.ttf", str(beside / "DejaVuSans.ttf")):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _width(text: str) -> int:
    return math.ceil(_font().getlength(text))


def _fitted(text: str, width: int) -> str:
    """The text, or its beginning and … where it is wider than that many pixels."""
    kept = text[:500]
    if _width(kept) <= width and kept == text:
        return text
    while kept and _width(kept + "…") > width:
        kept = kept[: -max(1, len(kept) // 20)]
    return kept + "…"
