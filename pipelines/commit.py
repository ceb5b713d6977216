"""Which commit of the code runs, where it runs from a git checkout or was shipped from one."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

HERE = Path(__file__)
PACKAGES = ("gan_core", "pipelines")
SHIPPED = "COMMIT"  # a file beside the packages that says it, where they were shipped to a cluster
SECONDS = 5.0  # that git may take for one answer


@cache
def commit(file: Path = HERE) -> str:
    """The commit of the checkout that tracks this file, with ' (modified)' where the packages beside it differ from it.

    '' where there is no such checkout, as of an installed package, and where git is missing or does not answer.
    """
    folder = file.parent.parent
    if (folder / SHIPPED).is_file():
        return (folder / SHIPPED).read_text().strip()
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
