"""Two folders of images as two domains, each with the splits that lie above, below or in the name of its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gan_core.data.decode import is_image
from gan_core.data.items import split_named
from gan_core.data.sources.folders import unwrapped
from gan_core.errors import DataError


@dataclass(frozen=True)
class InDomain:
    """An image file.  domain: 0 or 1.  inner: its path below the domain and the split."""

    path: str
    split: str | None
    domain: int
    inner: str


def in_domains(url: str, paths: Sequence[str], names: tuple[str, str]) -> list[InDomain]:
    """The images of both domains: of train/A/…, A/train/…, trainA/… and A/…  DataError when a domain has none."""
    images = [path for path in paths if is_image(path)]
    found = [place for path, inner in zip(images, unwrapped(images), strict=True)
             if (place := _place(path, path, names) or _place(path, inner, names))]
    for domain, name in enumerate(names):
        if not any(place.domain == domain for place in found):
            folders = sorted({path.rpartition("/")[0] for path in images} - {""})
            raise DataError(f"{url}: no image lies in a folder '{name}' or 'train{name}'; set {'ab'[domain]}: to one "
                            f"with images; there are {', '.join(folders[:8]) or 'none'}")
    return found


def _place(path: str, inner: str, names: tuple[str, str]) -> InDomain | None:
    above, below = _off_split(inner)
    for domain, name in enumerate(names):
        if below.startswith(f"{name}/"):
            split, rest = _off_split(below.removeprefix(f"{name}/"))
            return InDomain(path, above or split, domain, rest)
        first, _, rest = below.partition("/")
        if rest and first.endswith(name) and (split := split_named(first.removesuffix(name).rstrip("_-"))):
            return InDomain(path, split, domain, rest)
    return None


def _off_split(path: str) -> tuple[str | None, str]:
    first, slash, rest = path.partition("/")
    split = split_named(first) if slash else None
    return (split, rest) if split else (None, path)
