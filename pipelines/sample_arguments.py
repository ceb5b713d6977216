"""What `gan sample` is given on the command line, as the values that a generator takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gan_core.asked import takes
from gan_core.data.decode import decode_image, is_image
from gan_core.data.files import Files, Limits
from gan_core.data.layout import channels_first
from gan_core.data.source import Example
from gan_core.data.transforms import apply
from gan_core.errors import ConfigError, DataError
from gan_core.options.conditions import Attribute
from gan_core.transforms import Background, Mode, Resize

DOMAINS = {"a": 0, "b": 1, "0": 0, "1": 1}


def weights_in(text: str | None, count: int) -> list[float] | None:
    """'0.7,0.3' as numbers, one for each of `count` generators.  ConfigError when they are not."""
    if text is None:
        return None
    example = ",".join(["1"] * count)
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--weights {text}: not numbers with commas between; --weights {example} works") from None
    if len(weights) != count:
        raise ConfigError(f"--weights {text}: {len(weights)} weights for {count} generators; --weights {example} works")
    return weights


def domain(to: str | None, label: int | None, images: str | None) -> int | None:
    """The label that is asked for, or that of the domain which images are to be translated to."""
    if to is None:
        return label
    if label is not None:
        raise ConfigError(f"--to {to}: --label {label} says where to, too; leave one of them out")
    if images is None:
        raise ConfigError(f"--to {to}: there is nothing to translate; --images FOLDER --to b works")
    if to not in DOMAINS:
        raise ConfigError(f"--to {to}: is no domain; a and b are the two, or 0 and 1")
    return DOMAINS[to]


def attributes_in(text: str | None, known: Sequence[Attribute], uri: str) -> dict[str, float] | None:
    """'smiling=1,hair=2' as numbers by name.  ConfigError names the attributes there are."""
    if text is None:
        return None
    if not known:
        raise ConfigError(f"--attributes {text}: {uri} was trained without attributes; leave it out")
    listed = ", ".join(f"{attribute.name} {takes(attribute)}" for attribute in known)
    named: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in {attribute.name for attribute in known} or name in named:
            wrong = "is named twice" if name in named else "is no attribute" if equals else "is not NAME=VALUE"
            raise ConfigError(f"--attributes {text}: '{part.strip()}' {wrong}; {uri} knows {listed}")
        try:
            named[name] = float(value)
        except ValueError:
            raise ConfigError(f"--attributes {text}: '{value}' is not a number; {uri} knows {listed}") from None
    return named


def read_images(
    place: str | None, most: int, shape: tuple[int, ...] | None, uri: str
) -> NDArray[np.uint8] | None:
    """An image file, or the first images of a folder by name, as uint8 [≤ most, C, H, W] of the generator's shape.

    All are scaled to that size, what is over is cut off, and what is transparent becomes white.  None for a generator
    that takes no images.  ConfigError when it takes none and some are named, or the other way round; DataError names a
    file that is no image.
    """
    if shape is None:
        if place is not None:
            raise ConfigError(f"--images {place}: {uri} makes images from nothing and translates none; leave it out")
        return None
    if place is None:
        raise ConfigError(f"{uri} translates images and was given none; --images FILE or --images FOLDER works")
    if shape[0] not in (1, 3):
        raise ConfigError(f"--images {place}: files are read as images of 1 or 3 channels, and {uri} takes {shape[0]}; "
                          "sample it in Python with gan_core.bundle.load_generator")
    return images_in(place, shape, "--images", most)[1]


def images_in(
    place: str, shape: tuple[int, ...], option: str, most: int | None = None
) -> tuple[list[str], NDArray[np.uint8]]:
    """The files, by name, and images [n, C, H, W] as of `read_images`.  option: that named the place."""
    files, limits = Files(place), Limits()
    paths = [""] if files.is_file else [file.path for file in files.list(limits.items) if is_image(file.path)][:most]
    if not paths:
        raise DataError(f"{option} {place}: holds no image; name a folder of PNG or JPEG files, or one of them")
    return [path or place for path in paths], np.stack([_read(files, path, limits, shape) for path in paths])


def _read(files: Files, path: str, limits: Limits, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """One file as [C, H, W]."""
    data = files.read(path, limits.bytes)
    steps = (Background(background="white"), Mode(mode="grey" if shape[0] == 1 else "rgb"), Resize(resize=shape[1:]))
    try:
        made = apply(Example(decode_image(data, limits)), steps).tensors()["image"]
    except DataError as error:
        raise DataError(f"{'/'.join(filter(None, [files.url.rstrip('/'), path]))}: {error}") from None
    return channels_first("image", made)
