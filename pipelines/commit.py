"""Which commit of the code runs, where it runs from a git checkout."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

HERE = Path(__file__)
PACKAGES = ("gan_core", "pipelines")
SECONDS = 5.0  # that git may take for one answer


@cache
def commit(file: Path = HERE) -> str:
    """The commit of the checkout that tracks this file, with ' (modified)' where the packages beside it differ from it.

    '' where there is no such checkout, as of an installed package, and where git is missing or does not answer.
    """
    folder = file.parent.parent
    try:
        _git(file.parent, "ls-files", "--error-unmatch", file.name)  # a checkout around an installed package is another
        found = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--", *PACKAGES)
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{found} (modified)" if changed else found


def _git(folder: Path, *words: str) -> str:
    """What git prints.  CalledProcessError and TimeoutExpired; OSError without git."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(["git", *words], cwd=folder, env=environment | {"GIT_OPTIONAL_LOCKS": "0"},
                          capture_output=True, text=True, timeout=SECONDS, check=True)
    return done.stdout.strip()
