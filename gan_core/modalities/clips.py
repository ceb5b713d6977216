"""Video: uint8 [T, C, H, W], looked at as sheets of all frames, about square, row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from gan_core.modalities.modality import FileKind, Layout, Medium, Modality, Program, Stored, Views, npy
from gan_core.pictures import COLOURS, enlarged, gif, grid, to_uint8

if TYPE_CHECKING:
    from PIL import Image

GIF_SIDE = 128  # pixels up to which frames are enlarged
USUAL_RATE = 8.0  # frames a second where the data set does not say

ENDS = """\
clips = np.uint8(np.clip(np.rint((made + 1) * 127.5), 0, 255))  # [n, frames, channels, height, width]

for i, clip in enumerate(clips):
    frames = [Image.fromarray(frame[0] if len(frame) == 1 else frame.transpose(1, 2, 0)) for frame in clip]
    frames[0].save(f"clip-{i}.gif", save_all=True, append_images=frames[1:], loop=0,
                   duration=round(1000 / (spec.get("rate", 0) or 8)))
"""


class Clips(Modality):
    """A network makes them in [−1, 1]."""

    axes = ("T", "C", "H", "W")
    dtype = np.dtype(np.uint8)
    made = "video"
    noun = "clips"
    file = "samples.gif"
    tag = "other"
    program: ClassVar[Program] = Program("from PIL import Image\n", "", ENDS, "clip-0.gif")

    def stored(self, made: NDArray[np.floating]) -> Stored:
        return to_uint8(made)

    def views(self, stored: Stored) -> Views:
        n, frames, channels, height, width = stored.shape
        across = math.ceil(math.sqrt(frames))
        down = -(-frames // across)
        filled = np.zeros((n, down * across, channels, height, width), np.uint8)
        filled[:, :frames] = stored
        rows = filled.reshape(n, down, across, channels, height, width).transpose(0, 3, 1, 4, 2, 5)
        return np.ascontiguousarray(rows).reshape(n, channels, down * height, across * width)

    def signals(self, stored: Stored) -> NDArray[np.uint8]:
        """[n, C, T, H, W]: convolutions see how pictures follow one another."""
        return stored.transpose(0, 2, 1, 3, 4)

    def files(self) -> Mapping[str, FileKind]:
        return {**({".gif": self._moving} if self.form.shape[1] in COLOURS else {}), ".npy": FileKind(npy)}

    @property
    def _moving(self) -> FileKind:
        frames = self.form.shape[0]
        seconds = frames / (self.form.rate or USUAL_RATE)
        return FileKind(_together, frames, seconds, seconds, together=True)

    def media(self, stored: Stored) -> Sequence[Medium]:
        if self.form.shape[1] not in COLOURS:
            return ()
        return [Medium("img", "image/gif", _animated([enlarged(frame, GIF_SIDE) for frame in clip], self._moving.still))
                for clip in stored]

    @property
    def words(self) -> str:
        frames, channels, height, width = self.form.shape
        return f"clips of {frames} frames of {width}x{height} with {channels} channel" + ("s" if channels > 1 else "")


def _together(stored: Stored, layout: Layout) -> bytes:
    """Clips beside each other, of which each frame is one grid."""
    return _animated([grid(frames, layout.columns) for frames in stored.swapaxes(0, 1)], layout.seconds)


def _animated(pictures: Sequence[Image.Image], seconds: float) -> bytes:
    return gif(pictures, round(1000 * seconds / len(pictures)))
