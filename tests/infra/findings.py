"""What the checks of infra/ have in common.

A check is a function of the files of a folder, by their path below infra/, that returns what is wrong with them:
nothing for the real ones, and the file and the field for a copy that a fault was planted in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

INFRA = Path(__file__).parents[2] / "infra"
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
EXACT = re.compile(r":v?\d+\.\d+(\.\d+)?([.-][\w.-]+)?$")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: in which file, at which field or line, and what."""

    file: str
    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file}: {self.where}: {self.problem}"


def files_of(*folders: str) -> dict[str, str]:
    """The text of every file in these folders of infra/, by its path below infra/."""
    found = (path for folder in folders for path in sorted((INFRA / folder).rglob("*")) if path.is_file())
    return {path.relative_to(INFRA).as_posix(): path.read_text() for path in found}


def planted(files: Mapping[str, str], file: str, right: str, wrong: str) -> dict[str, str]:
    """A copy of them with one place of one file changed; `right` must be there."""
    assert right in files[file], f"{file} has no {right!r} to plant a fault in"
    return {**files, file: files[file].replace(right, wrong, 1)}


def pinned_versions() -> dict[str, str]:
    """Each package of infra/constraints.txt with its version."""
    lines = (INFRA / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def is_pinned(image: str) -> bool:
    """Whether an image is named by its digest, or by a tag that is an exact version (1.2.3, 15.4-alpine)."""
    return bool(DIGEST.search(image) or EXACT.search(image))
