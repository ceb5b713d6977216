"""Two domains of images with no pairs between them, as CycleGAN has them: horses and zebras, photographs and Monets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gan_core.data.decode import decode_image
from gan_core.data.items import Index, ItemSource
from gan_core.data.source import Example
from gan_core.data.sources.domains import in_domains
from gan_core.data.sources.folders import dealt
from gan_core.data.sources.opened import bytes_of, opened


class Unpaired(ItemSource):
    """Images of two domains in two folders: label 0 is the first domain, 1 the second.

    In each split the first domain's images come before the second's.

    Layouts: trainA/ trainB/ testA/ testB/, A/ B/, train/A/, A/train/, with any names for A and B.
    """

    source: Literal["unpaired"] = "unpaired"
    a: str = Field("A", description="folder, or end of a folder's name, of the first domain", examples=["horses"])
    b: str = Field("B", description="the same of the second domain", examples=["zebras"])

    def index(self) -> Index:
        files = opened(self.url)
        listed = [file.path for file in files.list(self.limits.items)]
        found = sorted(in_domains(self.url, listed, (self.a, self.b)), key=lambda place: (place.domain, place.path))
        items = [(place.path, place.domain) for place in found]
        splits = dealt(items, [place.split for place in found], [place.path for place in found], self.deal)
        return Index(splits, (self.a, self.b), {"domains": "unpaired"})

    def read(self, item: tuple[str, int]) -> Example:
        path, domain = item
        return Example(decode_image(bytes_of(opened(self.url), path, self.limits), self.limits), domain, where=path)

    def name_of(self, item: tuple[str, int]) -> str:
        return item[0]
