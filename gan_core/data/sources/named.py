"""Well-known sets by name, from local copies or downloaded once: MNIST and its kin, CIFAR-10 and CIFAR-100.

Y. LeCun et al. 1998 (MNIST); H. Xiao et al., arXiv:1708.07747 (Fashion-MNIST); T. Clanuwat et al., arXiv:1812.01718
(KMNIST); A. Krizhevsky 2009, Learning multiple layers of features from tiny images (CIFAR).
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal

from pydantic import Field

from gan_core.data.files import Files, Limits
from gan_core.data.items import Deal
from gan_core.data.source import Bad, Example, Source
from gan_core.data.sources.array_items import ArrayItems
from gan_core.data.sources.cifar import CifarBinary
from gan_core.data.sources.class_names import CIFAR10, CIFAR100_COARSE, CIFAR100_FINE, DIGITS, FASHION, KUZUSHIJI
from gan_core.data.sources.downloads import Published, fetched, is_mirror, verify
from gan_core.data.sources.idx import Idx
from gan_core.errors import DataError

MNIST_FILES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
               "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
MNIST_SHAPES = {"train/images": (60_000, 28, 28), "train/labels": (60_000,),
                "test/images": (10_000, 28, 28), "test/labels": (10_000,)}


class _Named(Source):
    """A published set: which files it has, and which source reads them."""

    NOT_IN_KEY = frozenset({"root"})  # the fingerprint says whether the files are the published ones

    root: str | None = Field(None, description="folder of local copies, or an http(s) mirror; null downloads the "
                                               "published files once", examples=["data/mnist"])
    deal: Deal | None = Field(None, description="shares of train set aside; null keeps the published splits")
    limits: Limits = Limits()

    published: ClassVar[Published]

    @abstractmethod
    def reader(self) -> ArrayItems:
        """The source that reads the files, after they were compared with what was published."""

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]: ...

    def splits(self) -> Mapping[str, int]:
        return _reader(self).splits()

    def part(self, split: str, start: int, stop: int) -> Iterator[Example | Bad]:
        return _reader(self).part(split, start, stop)

    def facts(self) -> Mapping[str, Any]:
        found = _reader(self).facts()
        return {**found, "class_names": [self.class_names[int(number)] for number in found["class_names"]]}

    def fingerprint(self) -> str:
        """Of the published md5 sums; of the files as they are where they are no published ones."""
        if is_mirror(self.root) or self.has_published():
            return hashlib.sha256(repr(sorted(self.published.md5.items())).encode()).hexdigest()
        return _reader(self).fingerprint()

    def has_published(self) -> bool:
        """Whether every file lies in `root` as it was published, which the reader then checks."""
        files = Files(str(self.root))
        return all(files.exists(name) for name in self.published.md5)

    def folder(self) -> str:
        """Where the files lie, downloaded if need be; those that are there as published have the published md5."""
        if is_mirror(self.root):
            return str(fetched(self.published, self.root, self.limits.bytes))
        files = Files(str(self.root))
        for name, md5 in self.published.md5.items():
            if files.exists(name):
                verify(files, name, md5, self.published.name)
        return str(self.root)
