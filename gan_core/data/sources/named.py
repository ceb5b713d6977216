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
from gan_core.data.sources.cifar import CifarBinary, CifarFiles
from gan_core.data.sources.class_names import CIFAR10, CIFAR100_COARSE, CIFAR100_FINE, DIGITS, FASHION, KUZUSHIJI
from gan_core.data.sources.downloads import Published, fetched, is_mirror, verify
from gan_core.data.sources.idx import Idx
from gan_core.data.sources.opened import joined
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

    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """By label."""

    def splits(self) -> Mapping[str, int]:
        return _reader(self).splits()

    def part(self, split: str, start: int, stop: int) -> Iterator[Example | Bad]:
        return _reader(self).part(split, start, stop)

    def facts(self) -> Mapping[str, Any]:
        found = _reader(self).facts()
        return {**found, "class_names": [self.class_names()[int(number)] for number in found["class_names"]]}

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


class _MnistLike(_Named):
    """60,000 and 10,000 grey images, 28×28, in four IDX files."""

    def reader(self) -> ArrayItems:
        found = Idx(url=self.folder(), deal=self.deal, limits=self.limits)
        with found.open_arrays() as arrays:
            shapes = {name: header.shape for name, header in arrays.headers.items()}
        for (name, shape), file in zip(MNIST_SHAPES.items(), MNIST_FILES, strict=True):
            if shapes.get(name) != shape:
                what = f"holds {list(shapes[name])}" if name in shapes else "is not there"
                raise DataError(f"{found.url}: {file}: {what}, {self.published.name} has {list(shape)}; copy it again, "
                                "or read a set of your own by source: idx")
        return found


class _CifarLike(_Named):
    """50,000 and 10,000 colour images, 32×32, in the binary version's tar.gz, or unpacked."""

    batches: ClassVar[CifarFiles]

    def label(self) -> int:
        """Which byte before an image is its class."""
        return 0

    def reader(self) -> ArrayItems:
        folder, (archive,) = self.folder(), self.published.md5
        inside = next((place for place in (archive, self.batches.folder) if Files(folder).exists(place)), None)
        return CifarBinary(url=joined(folder, inside) if inside else folder, deal=self.deal, limits=self.limits,
                           files=self.batches, label_byte=self.label(), classes=len(self.class_names()))


@lru_cache(maxsize=4)  # the files are compared with what was published once a process
def _reader(source: _Named) -> ArrayItems:
    return source.reader()


class Mnist(_MnistLike):
    """MNIST: handwritten digits, 28×28 grey, 60,000 and 10,000."""

    source: Literal["mnist"] = "mnist"
    published = Published("mnist", "https://ossci-datasets.s3.amazonaws.com/mnist", dict(zip(MNIST_FILES, (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"), strict=True)))

    def class_names(self) -> tuple[str, ...]:
        return DIGITS


class FashionMnist(_MnistLike):
    """Fashion-MNIST: clothing, 28×28 grey, 60,000 and 10,000."""

    source: Literal["fashion_mnist"] = "fashion_mnist"
    published = Published(
        "fashion_mnist", "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com", dict(zip(MNIST_FILES, (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"), strict=True)))

    def class_names(self) -> tuple[str, ...]:
        return FASHION


class Kmnist(_MnistLike):
    """KMNIST: cursive Japanese characters, 28×28 grey, 60,000 and 10,000."""

    source: Literal["kmnist"] = "kmnist"
    published = Published("kmnist", "http://codh.rois.ac.jp/kmnist/dataset/kmnist", dict(zip(MNIST_FILES, (
        "bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134"), strict=True)))

    def class_names(self) -> tuple[str, ...]:
        return KUZUSHIJI


class Cifar10(_CifarLike):
    """CIFAR-10: photographs of ten kinds of thing, 32×32 RGB, 50,000 and 10,000."""

    source: Literal["cifar10"] = "cifar10"
    published = Published("cifar10", "https://www.cs.toronto.edu/~kriz", {
        "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"})
    batches = CifarFiles("cifar-10-batches-bin", tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
                         ("test_batch.bin",), label_bytes=1)

    def class_names(self) -> tuple[str, ...]:
        return CIFAR10


class Cifar100(_CifarLike):
    """CIFAR-100: photographs of a hundred kinds of thing, or of twenty groups of them, 32×32 RGB."""

    source: Literal["cifar100"] = "cifar100"
    labels: Literal["fine", "coarse"] = Field("fine", description="100 classes, or 20")
    published = Published("cifar100", "https://www.cs.toronto.edu/~kriz", {
        "cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8"})
    batches = CifarFiles("cifar-100-binary", ("train.bin",), ("test.bin",), label_bytes=2)

    def label(self) -> int:
        return 1 if self.labels == "fine" else 0

    def class_names(self) -> tuple[str, ...]:
        return CIFAR100_FINE if self.labels == "fine" else CIFAR100_COARSE
