"""What the folders that a file lies in say of it: a split, then a class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gan_core.data.items import Deal, deal_out, labels_of, split_named
from gan_core.errors import DataError

NO_CLASS = -1  # the label of a file that lies beside the class folders


def unwrapped(paths: Sequence[str]) -> list[str]:
    """The paths without the folders that hold all of them, as many archives have one; a split's folder stays."""
    while paths and (first := paths[0].partition("/")[0]) != paths[0] and split_named(first) is None:
        if not all(path.startswith(first + "/") for path in paths):
            break
        paths = [path.removeprefix(first + "/") for path in paths]
    return list(paths)


def placed(paths: Sequence[str]) -> tuple[list[str | None], list[str]]:
    """Of each file the split that its first folder names, None where it names none, and its path below that.

    Among several other folders, one 'train' is a class, as of vehicles.  DataError where splits and others are mixed.
    """
    inner = unwrapped(paths)
    firsts = {_first(path) for path in inner}
    named = sorted(first for first in firsts if split_named(first))
    others = sorted(first for first in firsts if not split_named(first))
    if not named or (len(named) == 1 and len([first for first in others if first]) > 1):
        return [None] * len(inner), inner
    if others:
        beside = f"'{others[-1]}/'" if others[-1] else "a file"
        raise DataError(f"'{named[0]}/' names a split, but {beside} lies beside it; move it into a split, or away")
    return [split_named(_first(path)) for path in inner], [path.partition("/")[2] for path in inner]


def groups_of(rests: Sequence[str]) -> list[str]:
    """The first folder of each path, which names its class; '' where it lies in none."""
    return [_first(path) for path in rests]


def _first(path: str) -> str:
    return path.partition("/")[0] if "/" in path else ""


def labelled(groups: Sequence[str]) -> tuple[tuple[str, ...], list[int | None]]:
    """Class names, and each file's label: None where no file has a class, NO_CLASS where others have one."""
    class_names, labels = labels_of([group for group in groups if group])
    return class_names, [labels.get(group, NO_CLASS) if class_names else None for group in groups]


def dealt(
    items: Sequence[Any], splits: Sequence[str | None], names: Sequence[str], deal: Deal | None
) -> dict[str, Sequence[Any]]:
    """Items by split: as `splits` says of each, None being train, and shares of train dealt by name."""
    named: dict[str, list[Any]] = {}
    for item, split in zip(items, splits, strict=True):
        named.setdefault(split or "train", []).append(item)
    train = [name for name, split in zip(names, splits, strict=True) if (split or "train") == "train"]
    return deal_out(named, deal, train)


def with_suffix(paths: Iterable[str], suffixes: Iterable[str]) -> list[str]:
    """The paths that end in one of the suffixes, in upper or lower case."""
    endings = tuple(suffixes)
    return [path for path in paths if path.lower().endswith(endings)]
