"""Where samples are written, and as what: the name of the file chooses among those that hold their kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from gan_core.errors import ConfigError
from gan_core.store import Store, split_url
from pipelines.pictures import check_folder, save

if TYPE_CHECKING:
    from gan_core.modalities.modality import FileKind, Modality

MOST_FRAMES = 1_000
BRIEFEST_S = 0.02  # a frame; browsers show what is asked to be briefer for a tenth of a second


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

    def kind(self, modality: Modality, uri: str) -> FileKind:
        """The file's kind.  ConfigError names those that hold what the generator at `uri` makes."""
        kinds = modality.files()
        if self.suffix not in kinds:
            stem = PurePosixPath(self.out).stem or "grid"
            names = [f"--out {stem}{suffix}" for suffix in kinds]
            works = f"{', '.join(names[:-1])} and {names[-1]} work" if names[1:] else f"{names[0]} works"
            made = " x ".join(str(side) for side in modality.form.shape)
            raise ConfigError(f"--out {self.out}: {uri} makes {modality.noun} of {made}; {works}")
        return kinds[self.suffix]

    def write(self, data: bytes) -> None:
        """The whole file, or nothing of it."""
        if "://" in self.out:
            above, name = split_url(self.out)
            Store(above).write(name, data)
        else:
            save(data, Path(self.out))


def check_frames(out: str, modality: Modality, examples: int, seconds: float | None) -> None:
    """ConfigError for a duration of what does not move, and for too many frames or too brief ones."""
    kinds = modality.files()
    frames = examples * kinds[PurePosixPath(out).suffix.lower()].frames
    if not frames:
        if seconds is not None:
            moving = [suffix for suffix, kind in kinds.items() if kind.frames]
            works = f"--out {PurePosixPath(out).stem}{moving[0]} works" if moving else "leave it out"
            raise ConfigError(f"--seconds {seconds:g}: {out} does not move; {works}")
        return
    if frames > MOST_FRAMES:
        raise ConfigError(f"--out {out}: {frames:,} frames, and an animation has at most {MOST_FRAMES:,}; "
                          f"ask for fewer images or steps")
    if seconds is not None and not BRIEFEST_S <= seconds / frames <= 60:
        raise ConfigError(f"--seconds {seconds:g}: of {frames} frames each is shown from {BRIEFEST_S} to 60 s; "
                          f"--seconds {max(1, round(frames / 16))} works")
