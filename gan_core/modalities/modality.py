"""What every kind of data can be asked: the one place where kinds differ once a network has made something."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from gan_core.modalities.form import Form

Stored = NDArray[Any]
"""[n, …] examples of one form as shards hold them."""
Views = NDArray[np.uint8]


@dataclass(frozen=True)
class Layout:
    """How examples are laid out in a file.  columns: of a grid.  seconds: that all frames of an animation take."""

    columns: int
    seconds: float


@dataclass(frozen=True)
class FileKind:
    """A kind of file that examples can be written as.

    frames: of one example, in a file that moves; 0 in others.  still, step: seconds that an example is shown by itself
    and as a step of an interpolation.
    """

    encode: Callable[[Stored, Layout], bytes]
    frames: int = 0
    still: float = 0.0
    step: float = 0.0


@dataclass(frozen=True)
class Medium:
    """One example as a page plays or shows it.  mime: of the content."""

    element: Literal["audio", "img", "pre"]
    mime: str
    content: bytes


@dataclass(frozen=True)
class Program:
    """Lines of a model card's program that are of a kind: what it imports, reads of `spec`, and does with `made`.

    writes: the file that comes of it.
    """

    imports: str
    sizes: str
    ends: str
    writes: str


@dataclass(frozen=True)
class Modality(ABC):
    """One kind of data, and one form of it.

    axes: of an example as it is stored.  dtype: of its numbers.  made: what a network's output is called where it has
    a name, as in an ONNX model.  noun: of several examples, in sentences.  is_picture: whether an example is a picture
    by itself, and not only looked at as one.  file: a name that `gan sample --out` takes.  tag: Hugging Face's name of
    the task.  program: of the model card.
    """

    form: Form

    axes: ClassVar[tuple[str, ...]]
    dtype: ClassVar[np.dtype[Any]]
    made: ClassVar[str]
    noun: ClassVar[str]
    file: ClassVar[str]
    tag: ClassVar[str]
    program: ClassVar[Program]
    is_picture: ClassVar[bool] = False

    @abstractmethod
    def stored(self, made: NDArray[np.floating]) -> Stored:
        """What a network made, [n, …] floats, as examples are stored: a pure function, example by example."""

    @abstractmethod
    def views(self, stored: Stored) -> Views:
        """Pictures [n, C, H, W] of examples: what is drawn, and what networks for images see."""

    def signals(self, stored: Stored) -> NDArray[np.uint8]:
        """[n, C, …] with one to three axes besides: what the convolutions of the `domain` network see."""
        return self.views(stored)

    @abstractmethod
    def files(self) -> Mapping[str, FileKind]:
        """By suffix, the kinds of file that hold such examples; the usual one first."""

    def media(self, stored: Stored) -> Sequence[Medium]:
        """Each example to be played or read on a page; () where pictures show all there is."""
        return ()

    @property
    @abstractmethod
    def words(self) -> str:
        """What is made, in words: '28x28 images with 1 channel'."""

    @property
    def array(self) -> str:
        """What an array of examples is: 'uint8 [n, C, H, W]'."""
        return f"{self.dtype.name} [n, {', '.join(self.axes)}]"

    @property
    def scores(self) -> int:
        """How many numbers a network makes of one example."""
        return int(np.prod(self.form.shape, dtype=np.float64))

    @property
    def example_bytes(self) -> int:
        """Of one example as it is stored."""
        return int(np.prod(self.form.shape)) * self.dtype.itemsize

    def mistake(self) -> str:
        """What keeps a form from being one of this kind; '' when nothing does."""
        if len(self.form.shape) != len(self.axes) or min(self.form.shape, default=0) < 1:
            return f"{list(self.form.shape)} are no {self.noun}, which are [{', '.join(self.axes)}]"
        return ""


def npy(stored: Stored, layout: Layout) -> bytes:
    """The array itself, as NumPy keeps it."""
    file = io.BytesIO()
    np.save(file, stored, allow_pickle=False)
    return file.getvalue()
