"""Generated examples to be heard, watched or read in a report, beside real ones."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError
from gan_core.metrics.maps import evenly
from gan_core.modalities.modality import Medium, Modality
from pipelines.parts import Played
from pipelines.report_classes import class_name

MOST = 20  # examples
MOST_TEXTS = 400
TEXTS_OF_A_CLASS = 12
MOST_BYTES = 750_000  # of all of them: a third more as text, and with all else the report stays below 3 MB

Labels = NDArray[np.int64]
Examples = NDArray[Any]


def media_of(
    modality: Modality, examples: Examples, real: Examples | None, requested: Labels | None, names: Sequence[str]
) -> tuple[Played, ...]:
    """Some of the generated examples, as they are stored, as many of each class [n] that was asked for.

    real: examples of the same classes, which stand beside them; None where there are none.  Texts of one class are
    shown together, a line each.  () for pictures, which the grids show.  DataError where a page can play none, or none
    is small enough.
    """
    if modality.is_picture:
        return ()
    kinds = modality.media(examples[:1])
    if not kinds:
        raise DataError(f"a page plays no {modality.words}")
    are_texts = kinds[0].element == "pre"
    chosen = _of_each_class(len(examples), requested, MOST_TEXTS if are_texts and requested is not None else MOST)
    sides = [modality.media(side[chosen]) for side in (examples, real) if side is not None]
    largest = sum(max(len(medium.content) for medium in media) for media in sides)
    fitting = min(len(chosen), MOST_BYTES // max(1, largest))
    if not fitting:
        raise DataError(f"one example takes {largest:,} bytes, and all together may take {MOST_BYTES:,}")
    shown = evenly(len(chosen), fitting)
    captions = [f"sample {chosen[i]}" if requested is None else class_name(names, int(requested[chosen[i]]))
                for i in shown]
    rows = [_together(captions, requested is not None, [media[i] for i in shown]) for media in sides]
    return tuple(replace(row, real=beside) for row, beside in zip(rows[0], rows[-1], strict=True)) if real is not None \
        else tuple(rows[0])


def _of_each_class(n: int, requested: Labels | None, most: int) -> NDArray[np.int64]:
    """Up to `most` of n examples, as many of each class as it has, spread evenly."""
    if requested is None:
        return evenly(n, most)
    classes = np.unique(requested)
    classes = classes[evenly(len(classes), most)]
    members = [np.flatnonzero(requested == label) for label in classes]
    each = min(TEXTS_OF_A_CLASS, most // len(classes))
    return np.concatenate([rows[evenly(len(rows), each)] for rows in members])


def _together(captions: Sequence[str], asked: bool, media: Sequence[Medium]) -> list[Played]:
    """Each by itself, but texts of one caption, which follow one another, in one."""
    played: list[Played] = []
    for caption, medium in zip(captions, media, strict=True):
        last = played[-1] if played else None
        if medium.element == "pre" and last is not None and last.caption == caption:
            played[-1] = replace(last, text=f"{last.text}\n{medium.content.decode()}")
        else:
            played.append(_played(caption, asked, medium))
    return played


def _played(caption: str, asked: bool, medium: Medium) -> Played:
    if medium.element == "pre":
        return Played(caption, asked, medium.element, text=medium.content.decode())
    uri = f"data:{medium.mime};base64,{base64.b64encode(medium.content).decode()}"
    return Played(caption, asked, medium.element, uri)
