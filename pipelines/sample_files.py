"""The kinds of file that images are written as, chosen by the name of the file."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from gan_core.errors import ConfigError
from gan_core.store import Store, split_url
from pipelines.pictures import check_folder, save

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GIF_SIDE = 128  # pixels up to which the images of an animation are enlarged
MOST_FRAMES = 1_000
BRIEFEST_S = 0.02  # a frame; browsers show what is asked to be briefer for a tenth of a second
COLOURS = (1, 3)  # channels that pictures have


@dataclass(frozen=True)
class Layout:
    """How images are laid out in a file.  columns: of a grid.  seconds: that an animation takes to go round."""

    columns: int
    seconds: float


@dataclass(frozen=True)
class Kind:
    """One kind of file.  holds: the channels it can have, any when ().  moves: whether it has a duration."""

    encode: Callable[[NDArray[np.uint8], Layout], bytes]
    holds: tuple[int, ...]
    moves: bool = False


def _png(images: NDArray[np.uint8], layout: Layout) -> bytes:
    from gan_core.pictures import grid, png

    return png(grid(images, layout.columns))


def _gif(images: NDArray[np.uint8], layout: Layout) -> bytes:
    from gan_core.tables import enlarged, gif

    return gif([enlarged(image, GIF_SIDE) for image in images], round(1000 * layout.seconds / len(images)))


def _npy(images: NDArray[np.uint8], layout: Layout) -> bytes:
    import numpy as np

    file = io.BytesIO()
    np.save(file, images, allow_pickle=False)
    return file.getvalue()


KINDS = {".png": Kind(_png, COLOURS), ".gif": Kind(_gif, COLOURS, moves=True), ".npy": Kind(_npy, ())}


@dataclass(frozen=True)
class Target:
    """Where images go: a path, or a URL of any store."""

    out: str

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.out).suffix.lower()

    def check(self) -> None:
        """ConfigError for a place where no file can be, before anything slow begins."""
        if "://" in self.out:
            return
        path = Path(self.out)
        if path.is_dir():
            raise ConfigError(f"--out {self.out}: is a directory; --out {path / 'grid.png'} works")
        check_folder(path.parent, path)

    def kind(self, shape: tuple[int, ...], uri: str) -> Kind:
        """The file's kind.  shape: of an image, [C, H, W].  ConfigError names those that the generator's images fit."""
        fitting = [suffix for suffix, kind in KINDS.items() if not kind.holds or shape[0] in kind.holds]
        if self.suffix not in fitting:
            stem = PurePosixPath(self.out).stem or "grid"
            names = [f"--out {stem}{suffix}" for suffix in fitting]
            works = f"{', '.join(names[:-1])} and {names[-1]} work" if names[1:] else f"{names[0]} works"
            made = " x ".join(str(side) for side in shape)
            raise ConfigError(f"--out {self.out}: {uri} makes images of {made}; {works}")
        return KINDS[self.suffix]

    def write(self, data: bytes) -> None:
        """The whole file, or nothing of it."""
        if "://" in self.out:
            above, name = split_url(self.out)
            Store(above).write(name, data)
        else:
            save(data, Path(self.out))


def check_frames(out: str, kind: Kind, frames: int, seconds: float | None) -> None:
    """ConfigError for a duration of what does not move, and for too many frames or too brief ones."""
    if not kind.moves:
        if seconds is not None:
            raise ConfigError(f"--seconds {seconds:g}: {out} does not move; --out {PurePosixPath(out).stem}.gif works")
        return
    if frames > MOST_FRAMES:
        raise ConfigError(f"--out {out}: {frames:,} frames, and an animation has at most {MOST_FRAMES:,}; "
                          f"ask for fewer images or steps")
    if seconds is not None and not BRIEFEST_S <= seconds / frames <= 60:
        raise ConfigError(f"--seconds {seconds:g}: of {frames} frames each is shown from {BRIEFEST_S} to 60 s; "
                          f"--seconds {max(1, round(frames / 16))} works")
