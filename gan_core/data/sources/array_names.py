"""Which of the arrays in a file are the images and labels of which split, by their names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gan_core.data.items import split_named
from gan_core.data.sources.array_values import Header
from gan_core.errors import DataError

IMAGES = frozenset({"images", "image", "imgs", "img", "data", "x", "pixels", "arr_0"})
LABELS = frozenset({"labels", "label", "targets", "target", "y", "class", "classes", "arr_1"})
NONE = "none"


@dataclass(frozen=True)
class Pair:
    """The names of two arrays of equal length; labels None where there are none."""

    images: str
    labels: str | None


def find_pairs(
    headers: Mapping[str, Header], images: str | None, labels: str | None, url: str
) -> tuple[dict[str, Pair], list[str]]:
    """The images and labels of each split, and the arrays that are neither.

    images, labels: a whole name, or the word that is left of a name without its split; None knows the usual words.
    MedMNIST's train_images and train_labels, Keras' x_train and y_train, USPS' train/data and train/target are known,
    and images and labels without a split.  DataError, with the names that there are, where they do not tell.
    """
    if len(headers) == 1 and images is None:
        images = next(iter(headers))
    if images is None and "arr_2" in headers:
        raise DataError(f"{url}: {_listed(headers)} do not tell which are images; set images: arr_0, labels: arr_1, or "
                        "save them again with names: np.savez(file, x_train=…, y_train=…)")
    found = _by_split(headers, IMAGES, images, "images", url)
    classes = {} if labels == NONE else _by_split(headers, LABELS, labels, "labels", url)
    if labels in headers and len(found) == 1:
        classes = dict.fromkeys(found, str(labels))
    pairs = {split: Pair(name, classes.get(split)) for split, name in found.items()}
    without = [pair.images for pair in pairs.values() if pair.labels is None]
    if without and len(without) < len(pairs):
        raise DataError(f"{url}: {without[0]} has no labels, other splits do; set labels: none, or name one array by "
                        "images:")
    used = {name for pair in pairs.values() for name in (pair.images, pair.labels)}
    return pairs, sorted(set(headers) - used)


def _by_split(
    headers: Mapping[str, Header], words: Collection[str], given: str | None, role: str, url: str
) -> dict[str, str]:
    """The one array of each split that has one of the words, or the given one, beside the split in its name."""
    if given is not None and given in headers:
        return {_parsed(given)[0] or "train": given}
    wanted = words if given is None else {_parsed(given)[1]}
    found: dict[str, str] = {}
    for name in sorted(headers):
        split, rest = _parsed(name)
        if rest not in wanted:
            continue
        if (taken := found.setdefault(split or "train", name)) != name:
            raise DataError(f"{url}: {taken} and {name} may both be {role}; set {role}: {taken} or {role}: {name}")
    if not found and (given is not None or role == "images"):
        what = f"no array '{given}'" if given is not None else "no array named as images are"
        raise DataError(f"{url}: holds {what}; it holds {_listed(headers)}; set {role}: to one of them")
    return found


def _parsed(name: str) -> tuple[str | None, str]:
    """A name's split, if it has one, and the rest of it: 'x_train' is ('train', 'x')."""
    tokens = [token for token in re.split(r"[/_\-.\s]+", name.lower()) if token]
    splits = [split for token in tokens if (split := split_named(token))]
    if len(splits) != 1:
        return None, "_".join(tokens)
    return splits[0], "_".join(token for token in tokens if split_named(token) is None)


def _listed(headers: Mapping[str, Header]) -> str:
    shown = [f"{name} {list(header.shape)}" for name, header in sorted(headers.items())]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "") if shown else "no arrays"
