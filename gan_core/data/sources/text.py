"""Text as tokens, a token a character: one example a line, or windows cut from one long text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gan_core.config import Count
from gan_core.data.items import Deal, Index, ItemSource, deal_out, indexed, labels_of, split_named
from gan_core.data.source import SPLITS, Example
from gan_core.data.sources.decoded import Encoding, NormalForm, decode_text
from gan_core.data.sources.folders import groups_of, placed, with_suffix
from gan_core.data.sources.opened import bytes_of, opened
from gan_core.errors import DataError

PAD = "<pad>"  # token 0: what follows the end of a line
LONGEST_BY_DEFAULT = 64


class _Text(ItemSource):
    """What both kinds share: which files, and how their bytes become characters.

    The vocabulary is the characters of all splits, sorted: an alphabet is known beforehand and gives nothing away.
    """

    suffix: str = Field(".txt", description="of the files that are read in a folder or archive", examples=[".txt"])
    encoding: Encoding = Field("utf-8", description="of the files; a byte order mark is left out", examples=["latin-1"])
    normalise: NormalForm | None = Field(None, description="Unicode normal form; null takes the text as it is")


class TextLines(_Text):
    """Lines of text files, one example a line.  Blank lines are none; how many there are is among the facts.

    Folders or files (train.txt) may name splits; otherwise lines are dealt by their text, so that a line that comes
    twice is not in two splits.
    """

    source: Literal["text_lines"] = "text_lines"
    label: Literal["folder", "file", "none"] | None = Field(
        None, description="what names a line's class; null: the folders where files lie in several, else the files "
                          "where there are several")
    length: Count | None = Field(None, description="tokens of an example; null: those of the longest line, "
                                                   f"but no more than {LONGEST_BY_DEFAULT}")
    long: Literal["bad", "cut"] = Field("bad", description="what becomes of a line with more characters than that")

    def index(self) -> Index:
        texts = _texts(self)
        class_names, labels = _labels(texts, self.label)
        named: dict[str, list[NDArray[np.int64]]] = {}
        for file, split in enumerate(texts.splits):
            named.setdefault(split or "train", []).append(_lines(file, labels[file], texts.contents[file]))
        rows: dict[str, Any] = {split: np.concatenate(found) for split, found in named.items()}
        if (count := sum(map(len, rows.values()))) > (most := self.limits.items):
            raise DataError(f"{self.url}: holds {count:,} lines, more than limits.items={most:,}; raise it")
        train = rows.get("train", np.empty((0, 5), np.int64))
        splits = deal_out(rows, self.deal, [texts.line(row) for row in train.tolist()])
        symbols = set().union(*(texts.line(row) for rows in splits.values() for row in rows))
        blank = sum(content.count("\n") + bool(content and content[-1] != "\n") for content in texts.contents) - count
        return Index(splits, class_names, {"vocabulary": [PAD, *sorted(symbols)], "blank_lines": blank})

    def read(self, item: Sequence[int]) -> Example:
        line, length, label = _texts(self).line(item), _length(self), int(item[4])
        if len(line) > length and self.long == "bad":
            raise DataError(f"has {len(line):,} characters, more than the {length:,} of an example; "
                            f"set length: {len(line)}, or long: cut")
        tokens = np.zeros(length, np.int32)
        tokens[: len(line)] = _tokens(line[:length], _codes(self))
        return Example(label=None if label < 0 else label, tokens=tokens, where=self.name_of(item))

    def name_of(self, item: Sequence[int]) -> str:
        return f"{_texts(self).paths[item[0]]}:{item[1]}"


class TextFile(_Text):
    """Windows of one long text, or of several texts.

    Folders or files (train.txt) may name splits; otherwise each text is cut in three by position, the last tenth for
    test and the tenth before it for validation, so that no two splits share a window.
    """

    source: Literal["text_file"] = "text_file"
    length: Count = Field(64, description="characters of a window")
    stride: Count | None = Field(None, description="characters from one window's start to the next; null: its length")

    def index(self) -> Index:
        texts = _texts(self)
        named = {split for split in texts.splits if split}
        shares = self.deal or (Deal(validation=0, test=0) if named - {"train"} else Deal())
        windows: dict[str, list[NDArray[np.int64]]] = {split: [] for split in SPLITS}
        symbols: set[str] = set()
        for file, (split, content) in enumerate(zip(texts.splits, texts.contents, strict=True)):
            for part, (start, stop) in _parts(split or "train", len(content), shares).items():
                starts = np.arange(start, stop - self.length + 1, self.stride or self.length)
                windows[part].append(np.stack([np.full_like(starts, file), starts], axis=1))
                symbols.update(content[start:stop])
        splits: dict[str, Any] = {split: np.concatenate(found) for split, found in windows.items() if found}
        self._check(splits, texts)
        return Index(splits, facts={"vocabulary": [PAD, *sorted(symbols)]})

    def read(self, item: Sequence[int]) -> Example:
        file, start = (int(number) for number in item)
        window = _texts(self).contents[file][start : start + self.length]
        return Example(tokens=_tokens(window, _codes(self)), where=self.name_of(item))

    def name_of(self, item: Sequence[int]) -> str:
        return f"{_texts(self).paths[item[0]]}, character {item[1]:,}"

    def _check(self, splits: Mapping[str, NDArray[np.int64]], texts: _Texts) -> None:
        if not len(splits.get("train", ())):
            characters = sum(map(len, texts.contents))
            raise DataError(f"{self.url}: holds {characters:,} characters, too few for one training window of "
                            f"length={self.length}; length: {max(1, characters // 20)} works")
        if (count := sum(map(len, splits.values()))) > self.limits.items:
            raise DataError(f"{self.url}: gives {count:,} windows, more than limits.items={self.limits.items:,}; "
                            "take a larger stride")


@dataclass(frozen=True)
class _Texts:
    """The files of a set as they are kept in memory.  splits: None where nothing names one."""

    paths: tuple[str, ...]
    groups: tuple[str, ...]
    splits: tuple[str | None, ...]
    contents: tuple[str, ...]

    def line(self, row: Sequence[int]) -> str:
        """The characters of one row (file, line number, start, stop, label)."""
        return self.contents[row[0]][row[2] : row[3]]


@lru_cache(maxsize=2)
def _texts(source: _Text) -> _Texts:
    files = opened(source.url)
    listed = [file.path for file in files.list(source.limits.items)]
    paths = listed if files.is_file else with_suffix(listed, [source.suffix.lower()])
    if not paths:
        raise DataError(f"{source.url}: holds no file that ends in {source.suffix}; set suffix: to that of its texts")
    splits, rests = placed(paths)
    return _Texts(
        paths=tuple(paths),
        groups=tuple(groups_of(rests)),
        splits=tuple(split or split_named(PurePosixPath(rest).stem) for split, rest in zip(splits, rests, strict=True)),
        contents=tuple(_content(source, path) for path in paths),
    )


def _content(source: _Text, path: str) -> str:
    try:
        data = bytes_of(opened(source.url), path, source.limits)
    except DataError as error:
        raise DataError(str(error) if f"{path}: " in str(error) else f"{path}: {error}") from None
    return decode_text(data, source.encoding, path, source.normalise)


def _labels(texts: _Texts, by: str | None) -> tuple[tuple[str, ...], list[int]]:
    """Class names, and the label of each file; −1 where there are no classes."""
    stems = [PurePosixPath(path).stem for path in texts.paths]
    classes = {stem for stem in stems if split_named(stem) is None}
    if by is None:
        by = "folder" if len(set(texts.groups)) > 1 else "file" if len(classes) > 1 else "none"
    if by == "none":
        return (), [-1] * len(stems)
    names = texts.groups if by == "folder" else stems
    for path, name in zip(texts.paths, names, strict=True):
        if not name or (by == "file" and name not in classes):
            raise DataError(f"{path}: has no {by} that names a class, as others have; move it, or set label: none")
    class_names, labels = labels_of(names)
    return class_names, [labels[name] for name in names]


def _lines(file: int, label: int, content: str) -> NDArray[np.int64]:
    """The lines that are not blank, [N, 5]: file, line number, start, stop, label."""
    rows, start = [], 0
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            rows.append((file, number, start, start + len(line), label))
        start += len(line) + 1
    return np.array(rows, np.int64).reshape(-1, 5)


def _parts(split: str, size: int, shares: Deal) -> dict[str, tuple[int, int]]:
    """Where the parts of a text of `size` characters start and stop."""
    if split != "train":
        return {split: (0, size)}
    test = size - round(shares.test * size)
    validation = test - round(shares.validation * size)
    return {"train": (0, validation), "validation": (validation, test), "test": (test, size)}


@lru_cache(maxsize=2)
def _length(source: TextLines) -> int:
    if source.length:
        return source.length
    rows = np.concatenate([np.asarray(rows) for rows in indexed(source).splits.values() if len(rows)])
    return min(int((rows[:, 3] - rows[:, 2]).max()), LONGEST_BY_DEFAULT)


@lru_cache(maxsize=2)
def _codes(source: _Text) -> NDArray[np.uint32]:
    """The code points of the vocabulary from token 1 on, ascending."""
    return _code_points("".join(indexed(source).facts["vocabulary"][1:]))


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)


def _tokens(text: str, codes: NDArray[np.uint32]) -> NDArray[np.int32]:
    """The token of each character."""
    return (np.searchsorted(codes, _code_points(text)) + 1).astype(np.int32)
