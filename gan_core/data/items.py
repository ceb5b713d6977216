"""What every source over files shares: where it is, what it is cut into, and that one bad item is only one bad item.

A source of this kind says what its items are (`index`) and how one is read (`read`); which split an item belongs to is
either what the data says itself, or dealt by the sha256 of its name.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from gan_core.config import Config
from gan_core.data.files import Files, Limits
from gan_core.data.fingerprints import fingerprint
from gan_core.data.source import SPLITS, Bad, Example, Source
from gan_core.errors import DataError
from gan_core.store import holds_password

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test", "t10k": "test",
}


class Deal(Config):
    """The shares of the training items that are set aside, chosen by the sha256 of each item's name."""

    validation: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _leaves_some(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation={self.validation} and test={self.test} leave nothing to train on; "
                             "{validation: 0.1, test: 0.1} works")
        return self


@dataclass(frozen=True)
class Index:
    """What a set holds.  splits: its items in order, by split.  class_names: by label, where they have names."""

    splits: Mapping[str, Sequence[Any]]
    class_names: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class ItemSource(Source):
    """A set of items below one URL, each of which can be read on its own."""

    url: str = Field(description="a path or any fsspec URL", examples=["data/flags"])
    deal: Deal | None = Field(None, description="shares set aside from train; null deals only where the data names no "
                                                "splits itself: a tenth for validation, a tenth for test")
    limits: Limits = Limits()

    @field_validator("url")
    @classmethod
    def _holds_no_password(cls, url: str) -> str:
        return without_password(url)

    @abstractmethod
    def index(self) -> Index:
        """What there is to read.  DataError for a set that cannot be read at all."""

    @abstractmethod
    def read(self, item: Any) -> Example:
        """One item.  DataError, with the reason alone, when it cannot be used."""

    def kept(self, index: Index) -> Index:
        """What of the index the options leave; all of it, where none says otherwise."""
        return index

    def name_of(self, item: Any) -> str:
        """An item's file or row, for reports."""
        return str(item)

    def splits(self) -> Mapping[str, int]:
        return {split: len(items) for split, items in indexed(self).splits.items()}

    def part(self, split: str, start: int, stop: int) -> Iterator[Example | Bad]:
        for item in indexed(self).splits.get(split, ())[start:stop]:
            try:
                yield self.read(item)
            except DataError as error:
                yield Bad(self.name_of(item), str(error))

    def facts(self) -> Mapping[str, Any]:
        found = indexed(self)
        return {"class_names": list(found.class_names), **found.facts} if found.class_names else found.facts

    def fingerprint(self) -> str:
        return fingerprint(Files(self.url))


_MOST = 4  # sets that a process remembers at one time
_indices: dict[ItemSource, Index] = {}


def indexed(source: ItemSource) -> Index:
    """A source's index, made once a process.  DataError when it holds nothing."""
    if source not in _indices:
        remember_index(source, source.kept(source.index()))
    return _indices[source]


def remember_index(source: ItemSource, index: Index) -> None:
    """Takes an index that another process made of the same source; workers need not list millions of files again."""
    if not any(len(items) for items in index.splits.values()):
        raise DataError(f"{source.url}: holds nothing that {type(source).__name__} reads")
    while len(_indices) >= _MOST:
        del _indices[next(iter(_indices))]
    _indices[source] = index


def forget_indices() -> None:
    """Before a set is read anew: its files may have changed."""
    _indices.clear()


def without_password(url: str) -> str:
    """The URL.  ValueError, which does not repeat it, when it holds a password."""
    if holds_password(url):
        raise ValueError("the URL holds a password, which would be kept with every result; leave it out and export "
                         "the credentials, for S3 as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    return url


def split_named(name: str) -> str | None:
    """The split that a folder, file, group or cell names: 'val' and 'dev' are validation.  None for other names."""
    return SPLIT_NAMES.get(name.strip().lower())


def deal_out(named: Mapping[str, Sequence[Any]], deal: Deal | None, names: Sequence[str]) -> dict[str, Sequence[Any]]:
    """The splits of a set: those that the data names, or shares of its training items.

    named: items by split; all under 'train' where the data names no splits.  names: of the training items, in order.
    """
    shares = deal or (Deal() if not named.keys() - {"train"} else Deal(validation=0, test=0))
    items = named.get("train", ())
    if not shares.validation and not shares.test:
        return {split: named.get(split, ()) for split in SPLITS}
    rank = np.argsort(_numbers(names), kind="stable")
    tests = round(shares.test * len(items))
    rest = tests + round(shares.validation * len(items))
    aside = {"test": rank[:tests], "validation": rank[tests:rest], "train": rank[rest:]}
    splits: dict[str, Sequence[Any]] = {}
    for split in SPLITS:
        chosen = _chosen(items, np.sort(aside[split]))
        given = named.get(split, ()) if split != "train" else ()
        splits[split] = chosen if not len(given) else given if not len(chosen) else [*given, *chosen]
    return splits


def _chosen(items: Sequence[Any], numbers: NDArray[np.int64]) -> Sequence[Any]:
    if isinstance(items, np.ndarray):
        return items[numbers]
    return items if len(numbers) == len(items) else [items[number] for number in numbers]


def _numbers(names: Sequence[str]) -> NDArray[np.uint64]:
    digests = b"".join(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8] for name in names)
    return np.frombuffer(digests, "<u8")


def labels_of(values: Sequence[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """Class names in order, and the label of each: whole numbers by value, so that 10 comes after 9, others by name."""
    names = sorted(set(values), key=_by_number)
    return tuple(names), {name: label for label, name in enumerate(names)}


def _by_number(name: str) -> tuple[bool, int, str]:
    whole = name.isascii() and name.isdecimal() and len(name) <= 18
    return not whole, int(name) if whole else 0, name
