"""Parquet and Arrow files, read a group of rows at a time: a Parquet row group, or an Arrow record batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gan_core.data.files import ARCHIVE_ERRORS, Files
from gan_core.errors import DataError

Format = Literal["parquet", "arrow"]
SUFFIXES: dict[Format, tuple[str, ...]] = {
    "parquet": (".parquet", ".pq"), "arrow": (".arrow", ".arrows", ".feather", ".ipc")}
DISGUISES = {b"\x1f\x8b": "compressed with gzip; unpack it", b"PK\3\4": "a zip archive; name it as zip://*::…",
             b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it", b"FEA1": "Feather 1; write it as version 2",
             b"PAR1": "Parquet; use source: parquet", b"ARROW1": "Arrow; use source: arrow",
             b"version https": "a Git LFS pointer; run git lfs pull"}
ARROW_MAGIC = b"ARROW1"
MOST_BYTES = 2**32  # of one Parquet row group, unpacked: a reader holds one at a time


@dataclass(frozen=True)
class TableFile:
    """One file of a table.  ends: the row after each group's last."""

    format: Format
    files: Files
    path: str
    schema: Any
    names: list[str]
    ends: NDArray[np.int64]

    @property
    def rows(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def columns(self, names: Sequence[str]) -> Any:
        """Whole columns, as a pyarrow table.  DataError when they are damaged."""
        with _in_words(self.files, self.path, self.format), _bytes(self.files, self.path) as source:
            if self.format == "parquet":
                table = pq.ParquetFile(source).read(columns=list(names))
            else:
                with _reader(source, _options(self.schema, names)) as reader:
                    table = pa.Table.from_batches(_batches(reader), reader.schema)
            return self._whole(table, self.rows)

    def group(self, number: int, names: Sequence[str]) -> Any:
        """The named columns of one group of rows, as a pyarrow table.  DataError when it is damaged."""
        with _in_words(self.files, self.path, self.format), _bytes(self.files, self.path) as source:
            if self.format == "parquet":
                table = self._row_group(pq.ParquetFile(source), number, names)
            else:
                with _reader(source, _options(self.schema, names)) as reader:
                    table = pa.Table.from_batches([_batch(reader, number)])
            return self._whole(table, int(self.ends[number] - (self.ends[number - 1] if number else 0)))

    def _whole(self, table: Any, rows: int) -> Any:
        table.validate(full=True)  # offsets of a hostile file would be read as they stand
        if table.num_rows != rows:
            raise DataError(f"{self.path}: states {rows:,} rows where it has {table.num_rows:,}; copy it again")
        return table

    def _row_group(self, file: Any, number: int, names: Sequence[str]) -> Any:
        size = file.metadata.row_group(number).total_byte_size
        if size > MOST_BYTES:
            raise DataError(f"{self.path}: its row group {number} takes {size:,} bytes; write the file again with "
                            "row_group_size=1000")
        return file.read_row_group(number, columns=list(names))


def open_table(format: Format, files: Files, path: str) -> TableFile:
    """What a file holds.  DataError, naming it, when it is cut off, compressed, or something else."""
    with _in_words(files, path, format), _bytes(files, path) as source:
        if format == "parquet":
            file = pq.ParquetFile(source)
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            schema = file.schema_arrow
            return TableFile(format, files, path, schema, _names(schema), np.cumsum(sizes, dtype=np.int64))
        with _reader(source) as reader:
            schema = reader.schema
        source.seek(0)
        with _reader(source, _options(schema, [_narrowest(schema)])) as reader:
            sizes = [batch.num_rows for batch in _batches(reader)]
        return TableFile(format, files, path, schema, _names(schema), np.cumsum(sizes, dtype=np.int64))


def _reader(source: Any, options: Any = None) -> Any:
    """A reader of Arrow's file format, which knows where its batches are, or of its stream format, which does not."""
    is_file = source.read(len(ARROW_MAGIC)) == ARROW_MAGIC
    source.seek(0)
    return pa.ipc.open_file(source, options=options) if is_file else pa.ipc.open_stream(source, options=options)


def _batches(reader: Any) -> Iterator[Any]:
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        return (reader.get_batch(number) for number in range(reader.num_record_batches))
    return iter(reader)


def _batch(reader: Any, number: int) -> Any:
    """One batch; in a stream by passing over those before it, on a memory map at the price of their headers."""
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        return reader.get_batch(number)
    return next(islice(reader, number, None))


def _options(schema: Any, names: Sequence[str]) -> Any:
    return pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(name) for name in names])


def _names(schema: Any) -> list[str]:
    """The names of the columns.  UnicodeDecodeError where one, or a struct's field's, is no text."""
    for column in schema:
        if pa.types.is_struct(column.type):
            _names(column.type)
    return [column.name for column in schema]


def _narrowest(schema: Any) -> str:
    """The column that costs least to read where only rows are counted."""
    return str(min(schema, key=lambda field: not pa.types.is_primitive(field.type)).name)


@contextmanager
def _bytes(files: Files, path: str) -> Iterator[Any]:
    local = files.local()
    if local is not None:
        with pa.memory_map(str(local if files.is_file else local / path)) as source:
            yield source
        return
    with files.open(path) as handle, pa.PythonFile(handle, "r") as source:
        yield source


@contextmanager
def _in_words(files: Files, path: str, format: Format) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except ARCHIVE_ERRORS as error:
        raise DataError(f"{path}: is damaged in its archive: {error}") from None
    except (pa.ArrowException, OSError, ValueError, KeyError, StopIteration) as error:
        head = _head(files, path)
        known = next((what for magic, what in DISGUISES.items()
                      if head.startswith(magic) and not what.endswith(f"source: {format}")), None)
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise DataError(f"{path}: is {known}" if known else
                        f"{path}: is not a whole {format} file: {reason or 'it ends too soon'}") from None


def _head(files: Files, path: str) -> bytes:
    try:
        with files.open(path) as handle:
            return bytes(handle.read(16))
    except (OSError, ValueError, *ARCHIVE_ERRORS):
        return b""
