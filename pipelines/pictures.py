"""Files that a command writes where it was told to: refused before the work, and whole or absent."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from gan_core.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image


def check_png(out: Path) -> None:
    """ConfigError for a file that cannot become a PNG, before anything slow begins."""
    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out {out}: only PNG is written; --out {out.stem or 'grid'}.png works")
    if out.is_dir():
        raise ConfigError(f"--out {out}: is a directory; --out {out / 'grid.png'} works")
    check_folder(out.parent, out)


def check_folder(folder: Path, out: Path, option: str = "--out") -> None:
    """Makes a folder to write into.  ConfigError, naming the option and `out`, where nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{option} {out}: {folder} cannot be made: {error.strerror}; "
                          "name a directory of yours") from None
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{option} {out}: {folder} cannot be written; name a directory of yours")


def save_png(picture: Image, out: Path) -> None:
    """Writes a PNG that is whole or absent."""
    from gan_core.pictures import png

    save(png(picture), out)


def save(data: bytes, out: Path) -> None:
    """Writes a file that is whole or absent."""
    aside = out.parent / f".{out.name}.{uuid.uuid4().hex}"
    try:
        aside.write_bytes(data)
        aside.replace(out)
    except OSError as error:
        aside.unlink(missing_ok=True)
        reason = error.strerror or error
        raise ConfigError(f"--out {out}: {reason}; name a file that can be written") from None
