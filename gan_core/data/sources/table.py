"""Images in the rows of Parquet and Arrow files, as Hugging Face, pandas, polars and our own shards write them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from gan_core.config import Count
from gan_core.data.fingerprints import fingerprint
from gan_core.data.items import Index, ItemSource, deal_out, split_named
from gan_core.data.source import Example
from gan_core.data.sources.cells import Layout, Reading, holds_images, image_of
from gan_core.data.sources.columns import LABEL_COLUMNS, chosen, rows_by_split
from gan_core.data.sources.folders import with_suffix
from gan_core.data.sources.opened import bytes_of, folder_of, matching, opened
from gan_core.data.sources.side import NO_LABEL, class_names_of, labels_in, numbers_in, texts_in
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
        None, description="[H, W], [H, W, C] or [C, H, W] of flat lists; null takes squares", examples=[[28, 28]])
    layout: Layout = Field("auto", description="order of three axes; auto: channels are first where the last axis is "
                                               "longer than 4")
    range: Span | None = Field(None, examples=[[0, 1]], description=(
        "numbers that become 0 and 255; null: 0 and 255 for integers, 0 and 1 for floats"))

    def index(self) -> Index:
        rows = _rows(self)
        train = rows.splits.get("train", np.empty(0, np.int64))
        splits = deal_out(rows.splits, self.deal, [rows.name_of(row) for row in train.tolist()])
        facts: dict[str, Any] = {"attributes": list(self.attributes)} if self.attributes else {}
        if rows.attribute_names:
            facts["attribute_names"] = rows.attribute_names
        return Index(splits, rows.class_names, facts)

    def read(self, item: int) -> Example:
        rows = _rows(self)
        label = None if rows.labels is None else int(rows.labels[item])
        if label is not None and label < 0:
            raise DataError(f"has {'no label' if label == NO_LABEL else f'the label {label}'}; label: '' goes without")
        weight = None if rows.weights is None else float(rows.weights[item])
        if weight is not None and not (0 <= weight < np.inf):
            raise DataError(f"has the weight {weight:g}; weights are numbers of 0 or more")
        file, row = rows.place(item)
        cells = _cells(self, file, row)
        reading = Reading(self.shape, self.layout, self.range, self.limits, partial(_beside, self, file))
        images = [image_of(cell, reading) for cell in cells]
        return Example(
            image=images[0],
            label=label,
            image_b=images[1] if len(images) > 1 else None,
            attributes=dict(zip(self.attributes, rows.attributes[item].tolist(), strict=True)),
            weight=weight,
            where=self.name_of(item),
        )

    def name_of(self, item: int) -> str:
        return _rows(self).name_of(int(item))

    def fingerprint(self) -> str:
        files, listed = matching(self.url, self.limits.items)
        return fingerprint(files, {file.path for file in listed})


class Parquet(_Table):
    """Parquet: one file, a folder, or the files that a pattern matches (data/train-*.parquet)."""

    FORMAT = "parquet"

    source: Literal["parquet"] = "parquet"


class Arrow(_Table):
    """Arrow IPC files, streams and Feather version 2: one file, a folder, or the files that a pattern matches."""

    FORMAT = "arrow"

    source: Literal["arrow"] = "arrow"


@dataclass(frozen=True)
class _Rows:
    """All rows but for their images.  starts: the number of each file's first row, and of all rows.

    labels: [rows].  attributes: [rows, attributes].  weights: [rows].  splits: numbers of rows.
    """

    files: tuple[TableFile, ...]
    images: tuple[str, ...]
    starts: NDArray[np.int64]
    class_names: tuple[str, ...]
    labels: NDArray[np.int64] | None
    attributes: NDArray[np.float64]
    attribute_names: dict[str, list[str]]
    weights: NDArray[np.float64] | None
    splits: dict[str, Any]

    def place(self, item: int) -> tuple[int, int]:
        """The file that a row lies in, and its number there."""
        file = int(np.searchsorted(self.starts, item, side="right")) - 1
        return file, int(item - self.starts[file])

    def name_of(self, item: int) -> str:
        file, row = self.place(item)
        return f"{self.files[file].path}, row {row}"


@lru_cache(maxsize=2)
def _rows(source: _Table) -> _Rows:
    files = _files(source)
    first = files[0]
    columns, where = first.names, first.path
    images = _image_columns(source, first)
    label = chosen(columns, "label", source.label, LABEL_COLUMNS, where)
    chosen(columns, "weight", source.weight, (), where)
    chosen(columns, "split", source.split, (), where)
    for name in source.attributes:
        chosen(columns, "attributes", name, (), where)
    side = [name for name in dict.fromkeys((label, source.weight, source.split, *source.attributes)) if name]
    _refuse_without(files, [*images, *side])
    read = [file.columns(side) for file in files] if side else []
    found = {name: [table.column(name) for table in read] for name in side}
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] = ()
    if label:
        class_names, labels = labels_in(found[label], f"{where}: column '{label}'")
        class_names = class_names or _checked(class_names_of(first.schema, label), labels, where)
    numbers = {name: numbers_in(found[name], f"{where}: column '{name}'") for name in source.attributes}
    starts = np.cumsum([0, *(file.rows for file in files)])
    return _Rows(
        files=files,
        images=images,
        starts=starts,
        class_names=class_names,
        labels=labels,
        attributes=np.array([values for values, _ in numbers.values()]).T.reshape(int(starts[-1]), len(numbers)),
        attribute_names={name: list(names) for name, (_, names) in numbers.items() if names},
        weights=numbers_in(found[source.weight], where)[0] if source.weight else None,
        splits=rows_by_split(texts_in(found[source.split], where), where) if source.split else _by_file(files, starts),
    )


def _files(source: _Table) -> tuple[TableFile, ...]:
    files, listed = matching(source.url, source.limits.items)
    paths = [file.path for file in listed]
    tables = paths if len(paths) == 1 else with_suffix(paths, SUFFIXES[source.FORMAT])
    if not tables:
        raise DataError(f"{source.url}: holds no {', '.join(SUFFIXES[source.FORMAT])} file")
    opened = tuple(open_table(source.FORMAT, files, path) for path in tables)
    if (rows := sum(file.rows for file in opened)) > source.limits.items:
        raise DataError(f"{source.url}: has {rows:,} rows, more than limits.items={source.limits.items:,}; raise it")
    return opened


def _image_columns(source: _Table, file: TableFile) -> tuple[str, ...]:
    names, where = file.names, file.path
    image = chosen(names, "image", source.image or None, IMAGE_COLUMNS, where)
    if image is None:
        could = [field.name for field in file.schema if holds_images(field.type)]
        if len(could) != 1:
            types = ", ".join(f"{field.name}: {field.type}" for field in list(file.schema)[:40])
            raise DataError(f"{where}: {'several columns' if could else 'no column'} could hold images; set image: to "
                            f"one of {types}")
        image = could[0]
    second = chosen(names, "image_b", source.image_b or None, (), where)
    return (image, second) if second else (image,)


def _refuse_without(files: Sequence[TableFile], names: Sequence[str]) -> None:
    for file in files:
        if lacking := [name for name in names if file.names.count(name) != 1]:
            raise DataError(f"{file.path}: has no column '{lacking[0]}', as {files[0].path} has; write all files with "
                            "the same columns")


def _checked(class_names: tuple[str, ...], labels: NDArray[np.int64], where: str) -> tuple[str, ...]:
    if class_names and len(labels) and labels.max() >= len(class_names):
        raise DataError(f"{where}: has the label {labels.max()}, and names for {len(class_names)} classes; "
                        "write the table again")
    return class_names


def _by_file(files: Sequence[TableFile], starts: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    named: dict[str, list[NDArray[np.int64]]] = {}
    for file, start in zip(files, starts.tolist(), strict=False):
        named.setdefault(_split_of(file.path) or "train", []).append(np.arange(start, start + file.rows))
    return {split: np.concatenate(found) for split, found in named.items()}


def _split_of(path: str) -> str | None:
    """The split that a part of a file's name says, else the folder nearest to it."""
    folder, name = posixpath.split(path)
    parts = [*re.split(r"[-_.]", posixpath.splitext(name)[0]), *reversed(folder.split("/"))]
    return next((split for part in parts if (split := split_named(part))), None)


def _cells(source: _Table, file: int, row: int) -> list[Any]:
    """The cells of a row that hold images."""
    table = _rows(source).files[file]
    group = int(np.searchsorted(table.ends, row, side="right"))
    found = _group(source, file, group)
    if isinstance(found, str):
        raise DataError(found)
    start = int(table.ends[group - 1]) if group else 0
    return [column[row - start] for column in found]


@lru_cache(maxsize=2)  # rows are read in order, so that one group serves many; and a split's edge may lie in another
def _group(source: _Table, file: int, group: int) -> list[Any] | str:
    """The image columns of a group of rows, or why they cannot be read."""
    rows = _rows(source)
    try:
        table = rows.files[file].group(group, rows.images)
    except DataError as error:
        return str(error)
    return [table.column(name) for name in rows.images]


def _beside(source: _Table, file: int, path: str) -> bytes:
    """A file that a cell names, as seen from its table's folder."""
    table = _rows(source).files[file]
    files = opened(folder_of(source.url)) if table.files.is_file else table.files
    folder = "" if table.files.is_file else posixpath.dirname(table.path)
    return bytes_of(files, posixpath.join(folder, path), source.limits)
