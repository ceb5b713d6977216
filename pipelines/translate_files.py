"""Image files translated by a published generator, each to a file of its own.

    translation.json    beside what a folder's images became: by which generator, so that it is not mixed with another

An `Order` is all that another process needs to take part of the work: plain values, from which it opens the generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gan_core.asked import condition_of, image_of
from gan_core.bundle import Generator, read_generator
from gan_core.config import Config
from gan_core.data.decode import decode_image
from gan_core.data.files import Files, Limits
from gan_core.data.layout import channels_first
from gan_core.data.source import Example
from gan_core.data.transforms import apply
from gan_core.errors import ConfigError, DataError
from gan_core.metrics.translation import A, B
from gan_core.models.spec import InputSpec
from gan_core.store import Store
from gan_core.transforms import Background, Mode, Resize, Transform

MARK = "translation.json"
DIRECTIONS = {"a2b": B, "b2a": A}
NOT_LABELLED = 255
MODES = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGB with alpha"}
WRITTEN = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}

Pixels = NDArray[np.uint8]


class Order(Config):
    """What is done to each file.  generator: its store and prefix.  source, out: URLs.  resize: whatever the size."""

    generator: tuple[str, str]
    source: str
    out: str
    direction: str
    resize: bool

    def translate(self, paths: Sequence[str]) -> list[tuple[str, str]]:
        """Writes what becomes of these files, whole each.  Returns those that could not be read, and why."""
        generator, files, store = _opened(self.model_dump_json())
        read, bad = [], []
        for path in paths:
            try:
                read.append((path, read_image(files.read(path, Limits().bytes), generator, self.resize)))
            except DataError as error:
                bad.append((path, str(error)))
        if read:
            made = translated(generator, np.stack([image for _, image in read]), self.direction)
            for (path, _), image in zip(read, made, strict=True):
                store.write(name_of(path), encoded(image, ".png"))
        return bad


@lru_cache(maxsize=2)
def _opened(order: str) -> tuple[Generator, Files, Store]:
    """Once a process."""
    told = Order.model_validate_json(order)
    place, prefix = told.generator
    return read_generator(Store(place), prefix), Files(told.source), Store(told.out)


def name_of(path: str) -> str:
    """Of what becomes of a file: its own, as a PNG."""
    return str(PurePosixPath(path).with_suffix(".png"))


def given_to(generator: Generator, option: str) -> InputSpec:
    """What it takes of an image.  ConfigError where it translates none, or none that files hold."""
    found = image_of(generator.spec)
    if found is None:
        raise ConfigError(f"{option}: {generator.uri} makes images from nothing and translates none; leave it out")
    for channels, what in ((found[1].shape[0], "takes"), (generator.spec.output[0], "makes")):
        if channels not in (1, 3):
            raise ConfigError(f"{option}: files hold images of 1 or 3 channels, and {generator.uri} {what} {channels}; "
                              "sample it in Python with gan_core.bundle.load_generator")
    return found[1]


def direction_of(generator: Generator, asked: str | None) -> str:
    """a2b or b2a.  ConfigError where the generator does not go there."""
    if asked is not None and asked not in DIRECTIONS:
        raise ConfigError(f"--direction {asked}: is none; a2b and b2a are the two")
    if condition_of(generator.spec) is not None:
        return asked or "a2b"
    only = "b2a" if generator.given == "image_b" else "a2b"
    if asked not in (None, only):
        raise ConfigError(f"--direction {asked}: {generator.uri} has learned {only} alone; --direction {only} works")
    return only


def translated(generator: Generator, images: Pixels, direction: str) -> Pixels:
    """[n, C, H, W] to [n, C', H, W]."""
    both = condition_of(generator.spec) is not None
    return generator.sample(len(images), images=images, label=DIRECTIONS[direction] if both else None)


def read_image(data: bytes, generator: Generator, resize: bool) -> Pixels:
    """A file's image as the generator takes it, [C, H, W].

    resize: whatever its size and mode, else DataError says both.  Of a map of class indices no pixel is mixed from
    others.  DataError, with the reason alone, also for what is no image, and for an index that is no class.
    """
    given = given_to(generator, "")
    channels, height, width = given.shape
    image = channels_first("image", _pixels(decode_image(data, Limits()), given, resize))
    found = f"{image.shape[2]}x{image.shape[1]} pixels, {MODES[image.shape[0]]}"
    if image.shape != given.shape:
        advice = "a map of class indices is a grey image" if image.shape[1:] == (height, width) and given.indices else \
            "--resize brings it there"
        raise DataError(f"is {found}; the generator takes {width}x{height} pixels, {MODES[channels]}; {advice}")
    if given.indices:
        others = image[(image >= given.indices) & (image != NOT_LABELLED)]
        if others.size:
            raise DataError(f"has a pixel of class {others.max()}; the generator knows the classes 0 to "
                            f"{given.indices - 1}, and {NOT_LABELLED} for what is of none")
    return image


def _pixels(image: Pixels, given: InputSpec, resize: bool) -> Pixels:
    """The image without an alpha channel that says nothing; brought to size and mode where that is wanted."""
    if image.ndim == 3 and image.shape[2] in (2, 4) and (image[..., -1] == 255).all():
        image = image[..., :-1] if image.shape[2] == 4 else image[..., 0]
    if not resize:
        return image
    steps: tuple[Transform, ...] = (Resize(resize=given.shape[1:], kernel="nearest"),) if given.indices else (
        Background(background="white"), Mode(mode="grey" if given.shape[0] == 1 else "rgb"),
        Resize(resize=given.shape[1:]))
    return apply(Example(image), steps).tensors()["image"]


def encoded(image: Pixels, suffix: str) -> bytes:
    """[C, H, W] as a file of that kind."""
    file = BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(file, WRITTEN[suffix], quality=95)
    return file.getvalue()


