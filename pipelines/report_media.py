"""Generated examples to be heard, watched or read in a report."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError
from gan_core.metrics.maps import evenly
from gan_core.modalities.modality import Medium, Modality
from pipelines.parts import Played
from pipelines.report_classes import class_name

MOST = 20  # examples
MOST_BYTES = 750_000  # of all of them: a third more as text, and with all else the report stays below 3 MB


def media_of(
    modality: Modality, examples: NDArray[Any], requested: NDArray[np.int64] | None, names: Sequence[str]
) -> tuple[Played, ...]:
    """Some of the generated examples, as they are stored, spread over the classes [n] that they were asked for.

    () for pictures, which the grids show.  DataError where a page can play none, or none is small enough.
    """
    if modality.is_picture:
        return ()
    order = np.arange(len(examples)) if requested is None else requested.argsort(kind="stable")
    chosen = order[evenly(len(order), MOST)]
    media = modality.media(examples[chosen])
    if not media:
        raise DataError(f"a page plays no {modality.words}")
    largest = max(len(medium.content) for medium in media)
    fitting = min(len(media), MOST_BYTES // max(1, largest))
    if not fitting:
        raise DataError(f"one example takes {largest:,} bytes, and all together may take {MOST_BYTES:,}")
    return tuple(
        _played(f"sample {chosen[i]}" if requested is None else class_name(names, int(requested[chosen[i]])),
                requested is not None, media[i])
        for i in evenly(len(media), fitting))


def _played(caption: str, asked: bool, medium: Medium) -> Played:
    if medium.element == "pre":
        return Played(caption, asked, medium.element, text=medium.content.decode())
    uri = f"data:{medium.mime};base64,{base64.b64encode(medium.content).decode()}"
    return Played(caption, asked, medium.element, uri)
