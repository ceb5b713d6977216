"""Images named in a CSV table, with their labels, attributes, weights and splits in its other columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gan_core.data.decode import decode_image
from gan_core.data.files import Files, unsafe
from gan_core.data.fingerprints import joint_fingerprint
from gan_core.data.items import Index, ItemSource, deal_out, labels_of
from gan_core.data.source import Example
from gan_core.data.sources.columns import LABEL_COLUMNS, chosen, number_in, numbers_of, rows_by_split
from gan_core.data.sources.decoded import Encoding, decode_text
from gan_core.data.sources.opened import bytes_of, folder_of, joined, opened
from gan_core.errors import DataError

FILE_COLUMNS = ("file", "path", "filename", "file_name", "filepath", "image", "image_path", "image_id", "img", "id")
SAMPLE = 8_192  # characters in which the delimiter is looked for


class CsvFiles(ItemSource):
    """A table of image files (CSV, TSV, CelebA's .txt), a row an image, with labels and attributes.

    The rows are read whole, so the table itself stays within limits.bytes.
    """

    source: Literal["csv"] = "csv"
    root: str | None = Field(None, examples=["images", "zip://*::images.zip"], description=(
        "where the named files are: a folder, a zip, or any URL, as seen from the table's folder; null: that folder"))
    file: str | None = Field(None, description="column with the files' paths below root; null: the first there is of "
                                               f"{', '.join(FILE_COLUMNS)}")
    suffix: str = Field("", description="added to each path", examples=[".jpg"])
    label: str | None = Field(None, description="column with the class; '' for none; null: the first there is of "
                                                f"{', '.join(LABEL_COLUMNS)}")
    attributes: tuple[str, ...] = Field((), description="columns kept beside the label: numbers, or text, whose values "
                                                        "are numbered and named in the manifest")
    weight: str | None = Field(None, description="column that says how often to draw a row")
    split: str | None = Field(None, description="column of train, validation, test, or 0, 1, 2; '' for none; null: "
                                                "'split' if there is one")
    delimiter: str | None = Field(None, min_length=1, max_length=1, description="null: found from the first lines")
    encoding: Encoding = Field("utf-8", description="of the table; a byte order mark is left out", examples=["latin-1"])

    def index(self) -> Index:
        rows = _rows(self)
        every = np.arange(len(rows.paths))
        named: dict[str, Any] = {"train": every} if rows.splits is None else rows.splits
        splits = deal_out(named, self.deal, [rows.paths[row] for row in named.get("train", ())])
        facts: dict[str, Any] = {"attributes": list(self.attributes)} if self.attributes else {}
        if rows.attribute_names:
            facts["attribute_names"] = rows.attribute_names
        return Index(splits, rows.class_names, facts)

    def read(self, item: int) -> Example:
        rows = _rows(self)
        if item in rows.reasons:
            raise DataError(rows.reasons[item])
        data = bytes_of(opened(_root(self)), rows.paths[item], self.limits)
        return Example(
            image=decode_image(data, self.limits),
            label=None if rows.labels is None else int(rows.labels[item]),
            attributes=dict(zip(self.attributes, rows.attributes[item].tolist(), strict=True)),
            weight=None if rows.weights is None else float(rows.weights[item]),
            where=self.name_of(item),
        )

    def name_of(self, item: int) -> str:
        rows = _rows(self)
        return f"{rows.paths[item]} (line {rows.lines[item]})"

    def fingerprint(self) -> str:
        return joint_fingerprint((Files(self.url), Files(_root(self))))


@dataclass(frozen=True)
class _Rows:
    """The table, by row.  reasons: why a row is bad.  attributes: [rows, attributes]."""

    paths: list[str]
    lines: NDArray[np.int64]
    reasons: dict[int, str]
    class_names: tuple[str, ...]
    labels: NDArray[np.int64] | None
    attributes: NDArray[np.float64]
    attribute_names: dict[str, list[str]]
    weights: NDArray[np.float64] | None
    splits: dict[str, NDArray[np.int64]] | None


@dataclass
class _Table:
    """Cells as text, by column; rows with too few or too many are empty and among the reasons."""

    where: str
    header: list[str]
    lines: list[int] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)

    def column(self, name: str) -> list[str]:
        number = self.header.index(name)
        return [cells[number] for cells in self.cells]


def _root(source: CsvFiles) -> str:
    folder = folder_of(source.url)
    return folder if source.root is None else joined(folder, source.root)


@lru_cache(maxsize=2)
def _rows(source: CsvFiles) -> _Rows:
    table = _table(source)
    where, header = table.where, table.header
    file = chosen(header, "file", source.file, FILE_COLUMNS, where)
    if not file:
        raise DataError(f"{where}: no column looks like file names; its first line has {', '.join(header[:40])}; "
                        "set file: to one of them, or add a header")
    label = chosen(header, "label", source.label, LABEL_COLUMNS, where)
    split = chosen(header, "split", source.split, ("split",), where)
    for option, name in [("weight", source.weight), *(("attributes", name) for name in source.attributes)]:
        chosen(header, option, name, (), where)
    paths = _paths(table, file, source.suffix)
    class_names, labels = _labels(table, label)
    numbers = {name: numbers_of(table.column(name)) for name in source.attributes}
    return _Rows(
        paths=paths,
        lines=np.array(table.lines, np.int64),
        class_names=class_names,
        labels=labels,
        attributes=np.array([values for values, _ in numbers.values()]).T.reshape(len(paths), len(numbers)),
        attribute_names={name: list(names) for name, (_, names) in numbers.items() if names},
        weights=_weights(table, source.weight),
        splits=_splits(table, split),
        reasons=table.reasons,
    )


def _table(source: CsvFiles) -> _Table:
    files = Files(source.url)
    if not files.is_file:
        tables = [file.path for file in files.list() if file.path.lower().endswith((".csv", ".tsv"))]
        raise DataError(f"{source.url}: is a folder; name the table in it: {', '.join(tables[:5]) or 'there is none'}")
    text = decode_text(bytes_of(files, "", source.limits), source.encoding, source.url)
    table = _Table(source.url, [])
    lines = _celeba(text) if text.partition("\n")[0].strip().isdigit() else _cells(source, text)
    for line, cells in lines:
        if not table.header:
            table.header = cells
        elif len(table.cells) >= source.limits.items:
            raise DataError(f"{source.url}: has more than limits.items={source.limits.items:,} rows; raise it")
        elif any(cells):
            _add(table, line, cells)
    if not table.cells:
        raise DataError(f"{source.url}: has no row below its header")
    return table


def _add(table: _Table, line: int, cells: list[str]) -> None:
    expected = len(table.header)
    if len(cells) != expected:
        table.reasons[len(table.cells)] = f"has {len(cells)} cells, the header {expected}; quote cells with delimiters"
        cells = [""] * expected
    table.cells.append(cells)
    table.lines.append(line)


def _cells(source: CsvFiles, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(source, text), strict=True)
    try:
        for cells in reader:
            yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise DataError(f"{source.url}: line {reader.line_num}: {error}; mend its quotes") from None


def _celeba(text: str) -> Iterator[tuple[int, list[str]]]:
    """CelebA's own tables: the number of rows, the names of the columns after the first, then cells between spaces."""
    for line, cells in enumerate(map(str.split, text.split("\n")), 1):
        if line > 1:
            yield line, ["file", *cells] if line == 2 else cells


def _delimiter(source: CsvFiles, text: str) -> str:
    if source.delimiter:
        return source.delimiter
    if source.url.lower().endswith((".tsv", ".tab")):
        return "\t"
    try:
        return csv.Sniffer().sniff(text[:SAMPLE].rpartition("\n")[0] or text[:SAMPLE], delimiters=",;\t|").delimiter
    except csv.Error:
        return ","  # one column has none


def _paths(table: _Table, file: str, suffix: str) -> list[str]:
    paths: list[str] = []
    lines: dict[str, int] = {}
    for row, (cell, line) in enumerate(zip(table.column(file), table.lines, strict=True)):
        path = f"{cell}{suffix}".replace("\\", "/").removeprefix("./") if cell else ""
        if unsafe(path):
            raise DataError(f"{table.where}: line {line} names '{path}', which is not below root:; such a table is not "
                            "read; write paths as seen from there")
        if not path:
            table.reasons.setdefault(row, "names no file")
        elif path in lines:
            table.reasons.setdefault(row, f"names the file of line {lines[path]} again; one of them is left out")
        lines.setdefault(path, line)
        paths.append(path)
    return paths


def _labels(table: _Table, column: str | None) -> tuple[tuple[str, ...], NDArray[np.int64] | None]:
    if column is None:
        return (), None
    cells = table.column(column)
    class_names, labels = labels_of([cell for cell in cells if cell])
    for row, cell in enumerate(cells):
        if not cell:
            table.reasons.setdefault(row, f"has nothing in column '{column}'")
    return class_names, np.array([labels.get(cell, -1) for cell in cells], np.int64)


def _weights(table: _Table, column: str | None) -> NDArray[np.float64] | None:
    if column is None:
        return None
    cells = table.column(column)
    weights = np.array([number_in(cell) for cell in cells])
    for row in np.flatnonzero(~(np.isfinite(weights) & (weights >= 0))).tolist():
        table.reasons.setdefault(row, f"has the weight '{cells[row]}'; weights are numbers of 0 or more")
    return weights


def _splits(table: _Table, column: str | None) -> dict[str, NDArray[np.int64]] | None:
    if column is None:
        return None
    cells = ["train" if row in table.reasons else cell for row, cell in enumerate(table.column(column))]
    return rows_by_split(np.array(cells), table.where)
