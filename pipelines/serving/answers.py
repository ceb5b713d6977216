"""Images as what is sent: a PNG grid or NumPy's file, and the headers that say where they come from."""

from __future__ import annotations

import io
import math
from typing import Literal
from urllib.parse import quote

import numpy as np
from fastapi import Response
from numpy.typing import NDArray

from gan_core.bundle import Generator
from gan_core.errors import ConfigError
from gan_core.pictures import grid
from pipelines.serving.batcher import Made, Wanted

COMPRESSION = 1  # of 9 for PNG: the picture is sent once, and takes 3 times as long to write at 6
PNG, NPY = "image/png", "application/octet-stream"
MEDIA = {"png": PNG, "npy": NPY}


def check_format(kind: Literal["png", "npy"], generator: Generator) -> None:
    """ConfigError for a grid of images that no screen shows."""
    channels = generator.spec.output[0]
    if kind == "png" and channels not in (1, 3):
        raise ConfigError(f"format=png: the images have {channels} channels, a grid has 1 or 3; format=npy works")


def answer(made: Made, wanted: Wanted, kind: Literal["png", "npy"]) -> Response:
    """The response to one request."""
    content = png_grid(made, wanted) if kind == "png" else npy(made.images)
    return Response(content, media_type=MEDIA[kind], headers={
        "Gan-Version": quote(made.by.uri, safe=":/@"),
        "Gan-Seed": str(wanted.seed),
        "Cache-Control": "no-store",  # an alias moves, and the same address then means other images
        "Content-Disposition": f'inline; filename="{wanted.seed}.{kind}"',
    })


def png_grid(made: Made, wanted: Wanted) -> bytes:
    """The grid that `gan sample` draws."""
    file = io.BytesIO()
    grid(made.images, columns(made.by, wanted)).save(file, "PNG", compress_level=COMPRESSION)
    return file.getvalue()


def columns(generator: Generator, wanted: Wanted) -> int:
    """One column a class where classes take turns and fill a row, else about square."""
    if wanted.label is None and 0 < generator.classes <= wanted.n:
        return generator.classes
    return math.ceil(math.sqrt(wanted.n))


def npy(images: NDArray[np.uint8]) -> bytes:
    """What `numpy.load` reads."""
    file = io.BytesIO()
    np.save(file, images, allow_pickle=False)
    return file.getvalue()
