"""Images in the rows of Parquet and Arrow files, as Hugging Face, pandas, polars and our own shards write them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from gan_core.config import Count
from gan_core.data.files import fingerprint
from gan_core.data.items import Index, ItemSource, deal_out, split_named
from gan_core.data.source import Example
from gan_core.data.sources.cells import Axes, Reading, holds_images, image_of, is_flat
from gan_core.data.sources.columns import LABEL_COLUMNS, chosen, rows_by_split
from gan_core.data.sources.opened import bytes_of, folder_of, matching, opened
from gan_core.data.sources.side import class_names_of, labels_in, numbers_in, texts_in
from gan_core.data.sources.tables import SUFFIXES, Format, TableFile, open_table
from gan_core.errors import DataError

IMAGE_COLUMNS = ("image", "img", "picture")


def _ascends(span: tuple[float, float]) -> tuple[float, float]:
    if not span[0] < span[1]:
        raise ValueError(f"range: {list(span)} does not ascend; [0, 1] does")
    return span


Span = Annotated[tuple[float, float], AfterValidator(_ascends)]


class _Table(ItemSource):
    """What both formats share.  An item is the number of a row, counted through all files in order of their paths.

    Splits are named by files (train-00000-of-00002.parquet) or folders (train/), or by a column.
    """

    FORMAT: ClassVar[Format]

    image: str | None = Field(None, description="column with the images; null: the first there is of "
                                                f"{', '.join(IMAGE_COLUMNS)}, or the only one that could be")
    image_b: str | None = Field(None, description="column with the counterpart of each image, in a set of pairs")
    label: str | None = Field(None, description="column with the class, a whole number or text; '' for none; null: the "
                                                f"first there is of {', '.join(LABEL_COLUMNS)}")
    attributes: tuple[str, ...] = Field((), description="columns kept beside the label: numbers, or text, whose values "
                                                        "are numbered and named in the manifest")
    weight: str | None = Field(None, description="column that says how often to draw a row")
    split: str | None = Field(None, description="column of train, validation, test, or 0, 1, 2")
    shape: tuple[Count, Count] | tuple[Count, Count, Count] | None = Field(
        None, description="[H, W], [H, W, C] or [C, H, W] of images that are flat lists of numbers", examples=[[28, 28]])
    axes: Axes | None = Field(None, description="order of three axes; null: CHW where the first alone is 1 to 4 long")
    range: Span | None = Field(None, examples=[[0, 1]], description=(
        "numbers that become 0 and 255; null: 0 and 255 for integers, 0 and 1 for floats"))
