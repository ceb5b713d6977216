"""What the paths of a set of image files say: which split each belongs to, and which class."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Any, Self, cast, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gan_core.data.decode import decode_image, is_image
from gan_core.data.items import Index, deal_out, indexed, labels_of, split_named
from gan_core.data.long_tail import LongTailed
from gan_core.data.source import Example
from gan_core.errors import DataError

NO_CLASS = -1  # the label of an image that has none where the others do


class Packed(Sequence[str]):
    """Strings as one block of bytes: a tenth of the memory that a list of them takes."""

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        self._bytes = b"".join(encoded)
        self._ends = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        return self._bytes[self._ends[number] : self._ends[number + 1]].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self)))


@dataclass(frozen=True)
class ImageIndex(Index):
    """Items are numbers into `paths`.  labels: [paths] int32, NO_CLASS where a path names none; None without labels."""

    paths: Sequence[str] = ()
    labels: NDArray[np.int32] | None = None
    table: Any = field(default=None)  # where an archive keeps each of them


class ImageItems(LongTailed):
    """Image files, and the rules by which their paths name splits and classes."""

    below: str | None = Field(None, description="the folder inside that the set begins in; null passes over folders "
                                                "that hold everything, '' over none")
    split_folders: bool | None = Field(
        None, description="true: train/, validation/ and test/ are the splits, what lies beside them is left out; "
                          "false: they are classes; null: they are the splits where nothing lies beside them")
    class_level: int | None = Field(
        None, description="the folder that names the class, below the split's: 1 the first, -1 the one that the file "
                          "lies in, 0 for no labels; null is the first level with more than one folder, if any")
    class_pattern: str | None = Field(
        None, description="instead: a regular expression whose one group finds the class in the path below the split",
        examples=[r"^(\d+)_"])

    @model_validator(mode="after")
    def _names_classes_once(self) -> Self:
        if self.class_pattern is None:
            return self
        if self.class_level is not None:
            raise ValueError("class_level and class_pattern both name the class; leave one out")
        try:
            groups = re.compile(self.class_pattern).groups
        except re.error as error:
            raise ValueError(f"class_pattern: '{self.class_pattern}': {error}; '^(\\d+)_' works") from None
        if groups != 1:
            raise ValueError(f"class_pattern: '{self.class_pattern}' has {groups} groups, not one; '^(\\d+)_' works")
        return self

    def image_index(self) -> ImageIndex:
        """The index, made once a process."""
        return cast(ImageIndex, indexed(self))

    def labels_of_items(self, index: Index, items: Sequence[Any]) -> NDArray[np.int64] | None:
        assert isinstance(index, ImageIndex)
        return None if index.labels is None else index.labels[np.asarray(items, np.int64)].astype(np.int64)

    def name_of(self, item: Any) -> str:
        return self.image_index().paths[int(item)]

    def example(self, item: int, data: bytes) -> Example:
        """An item from its file's bytes.  DataError for what cannot be used."""
        index = self.image_index()
        label = None if index.labels is None else int(index.labels[item])
        if label == NO_CLASS:
            raise DataError("lies in no folder that names a class; move it into one, or set class_level: 0"
                            if self.class_pattern is None else f"does not match class_pattern: {self.class_pattern}")
        return Example(decode_image(data, self.limits), label, where=self.name_of(item))


def arranged(source: ImageItems, paths: Sequence[str]) -> ImageIndex:
    """The splits and labels of a set's files, sorted.  DataError where the rules fit none of them."""
    images = [number for number, path in enumerate(paths) if is_image(path)]
    if not images:
        raise DataError(f"{source.url}: holds no images, {len(paths)} other files{_kinds(paths)}; "
                        "another source may read them")
    top = _top(source, [paths[number] for number in images])
    inside = [number for number in images if paths[number].startswith(top)]
    kept, splits, rests = _split(source, inside, [paths[number][len(top) :] for number in inside])
    classes = _classes(source, rests)
    class_names, label_of = labels_of([name for name in classes if name is not None])
    labels = np.full(len(paths), NO_CLASS, np.int32)
    labels[kept] = [NO_CLASS if name is None else label_of[name] for name in classes]
    _refuse_split_without_classes(source, splits, labels[kept])
    facts = {name: count for name, count in {
        "other_files": len(paths) - len(images), "images_left_out": len(images) - len(kept)}.items() if count}
    numbers = np.array(kept, np.int64)
    named = {split: numbers[splits == split] for split in dict.fromkeys(splits.tolist())}
    names = [rest for rest, split in zip(rests, splits, strict=True) if split == "train"]
    return ImageIndex(deal_out(named, source.deal, names), class_names, facts, Packed(paths),
                      labels if class_names else None)


def common_folder(paths: Sequence[str]) -> str:
    """The folders, each with its '/', that begin every path."""
    first, last = min(paths).split("/")[:-1], max(paths).split("/")[:-1]  # all others sort between these two
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(f"{folder}/" for folder, _ in same)


def _top(source: ImageItems, paths: Sequence[str]) -> str:
    if source.below is not None:
        top = f"{source.below.strip('/')}/".lstrip("/")
        if not any(path.startswith(top) for path in paths):
            raise DataError(f"{source.url}: below: '{source.below}' holds no images; {_first_folders(paths)}")
        return top
    folders = common_folder(paths).split("/")[:-1]
    if source.split_folders is not False:
        folders = folders[: next((at for at, name in enumerate(folders) if split_named(name)), None)]
    return "".join(f"{name}/" for name in folders)


def _split(
    source: ImageItems, numbers: Sequence[int], rests: Sequence[str]
) -> tuple[list[int], NDArray[np.str_], list[str]]:
    """The images that belong to a split: their numbers, splits, and paths below the split's folder."""
    firsts = [rest.partition("/")[0] if "/" in rest else "" for rest in rests]
    split_by_first = {first: split_named(first) for first in dict.fromkeys(firsts)}
    named = [first for first, split in split_by_first.items() if split]
    beside = sorted(first for first, split in split_by_first.items() if not split)
    if not named or source.split_folders is False:
        return list(numbers), np.full(len(rests), "train"), list(rests)
    if beside and source.split_folders is None:
        where = f"'{beside[-1]}/'" if beside[-1] else "no folder,"
        raise DataError(f"{source.url}: '{named[0]}/' names a split, but images also lie in {where} beside it; set "
                        "split_folders: true to leave those out, or split_folders: false if all folders are classes")
    chosen = [at for at, first in enumerate(firsts) if split_by_first[first]]
    return ([numbers[at] for at in chosen], np.array([split_by_first[firsts[at]] for at in chosen]),
            [rests[at].partition("/")[2] for at in chosen])


def _classes(source: ImageItems, rests: Sequence[str]) -> list[str | None]:
    """The name of each image's class, from its path below the split's folder; None where it has none."""
    if source.class_pattern is not None:
        return _by_pattern(source, source.class_pattern, rests)
    folders = [rest.rpartition("/")[0] for rest in rests]
    unique = dict.fromkeys(folders)
    depth = max(len(folder.split("/")) if folder else 0 for folder in unique)
    counts = {level: len({*map(partial(_at_level, level=level), unique)} - {None}) for level in range(1, depth + 1)}
    richest = next((level for level, count in counts.items() if count > 1), 0)
    level = richest if source.class_level is None else source.class_level
    if level == 0:
        return [None] * len(rests)
    names = {folder: _at_level(folder, level) for folder in unique}
    found = {name for name in names.values() if name}
    if not found or (len(found) == 1 and richest):
        what = f"gives every image the one class '{found.pop()}'" if found else f"is no folder above '{rests[0]}'"
        raise DataError(f"{source.url}: class_level: {level} {what}; class_level: {richest} "
                        f"{f'finds {counts[richest]} classes' if richest else 'goes without labels'}")
    shared = len(common_folder([*found]))
    return [None if (name := names[folder]) is None else name[shared:] for folder in folders]


def _at_level(folder: str, level: int) -> str | None:
    """A folder's name down to a level: 'Latin/a' and 'Greek/a' are two classes.  None where it has no such level."""
    parts = folder.split("/") if folder else []
    keep = level if level > 0 else len(parts) + level + 1
    return "/".join(parts[:keep]) if 0 < keep <= len(parts) else None


def _by_pattern(source: ImageItems, pattern: str, rests: Sequence[str]) -> list[str | None]:
    find = re.compile(pattern).search
    names = [match.group(1) if (match := find(rest)) else None for rest in rests]
    found = {name for name in names if name}
    if len(found) < 2:
        what = f"finds the one class '{found.pop()}' in all paths" if found else "matches no path"
        raise DataError(f"{source.url}: class_pattern: '{pattern}' {what}, of which '{rests[0]}' is one; "
                        "class_level: 0 goes without labels")
    return names


def _refuse_split_without_classes(source: ImageItems, splits: NDArray[np.str_], labels: NDArray[np.int32]) -> None:
    with_classes = dict.fromkeys(splits[labels != NO_CLASS].tolist())
    without = [split for split in dict.fromkeys(splits.tolist()) if split not in with_classes]
    if with_classes and without:
        raise DataError(f"{source.url}: the {without[0]} split names no classes, the {next(iter(with_classes))} split "
                        "does; set class_level: 0 to go without labels, or take one split alone by below: its folder")


def _first_folders(paths: Iterable[str]) -> str:
    counts = Counter(path.partition("/")[0] for path in paths if "/" in path)
    return f"its folders: {', '.join(sorted(counts)[:8])}" if counts else "it has no folders"


def _kinds(paths: Sequence[str]) -> str:
    kinds = Counter(os.path.splitext(path)[1].lower() or "no suffix" for path in paths)  # noqa: PTH122 - not only paths
    return f" ({', '.join(f'{count} {kind}' for kind, count in kinds.most_common(3))})" if kinds else ""
