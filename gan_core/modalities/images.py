"""Images: uint8 [C, H, W], which are their own views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gan_core.modalities.modality import FileKind, Layout, Modality, Program, Stored, Views, npy
from gan_core.pictures import COLOURS, enlarged, gif, grid, png, to_uint8

GIF_SIDE = 128  # pixels up to which the images of an animation are enlarged
STILL_S, STEP_S = 0.5, 0.06

SIZES = 'channels, height, width = spec["output"]\n'
ENDS = """\
images = np.uint8(np.clip(np.rint((made + 1) * 127.5), 0, 255))

sheet = np.full((-(-n // 10) * (height + 1) + 1, 10 * (width + 1) + 1, channels), 255, np.uint8)  # ten in a row
for i, image in enumerate(images):
    top, left = i // 10 * (height + 1) + 1, i % 10 * (width + 1) + 1
    sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
picture = Image.fromarray(sheet[..., 0] if channels == 1 else sheet)
times = max(1, 64 // max(height, width))
picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST).save("pictures.png")
"""


def grid_png(views: Views, layout: Layout) -> bytes:
    """Views as one grid."""
    return png(grid(views, layout.columns))


class Images(Modality):
    """A network makes them in [−1, 1]."""

    axes = ("C", "H", "W")
    dtype = np.dtype(np.uint8)
    made = noun = "images"
    file = "grid.png"
    tag = "unconditional-image-generation"
    program: ClassVar[Program] = Program("from PIL import Image\n", SIZES, ENDS, "pictures.png")
    is_picture = True

    def stored(self, made: NDArray[np.floating]) -> Stored:
        return to_uint8(made)

    def views(self, stored: Stored) -> Views:
        return stored

    def files(self) -> Mapping[str, FileKind]:
        pictures = {".png": FileKind(grid_png), ".gif": FileKind(_gif, 1, STILL_S, STEP_S)}
        return {**(pictures if self.form.shape[0] in COLOURS else {}), ".npy": FileKind(npy)}

    @property
    def words(self) -> str:
        channels, height, width = self.form.shape
        return f"{width}x{height} images with {channels} channel" + ("s" if channels > 1 else "")


def _gif(images: Stored, layout: Layout) -> bytes:
    return gif([enlarged(image, GIF_SIDE) for image in images], round(1000 * layout.seconds / len(images)))
