"""Pages of the documentation that are read from top to bottom: files, commands and programs, one after another."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.pipeline import Prefect

DOCS = Path(__file__).parents[1] / "docs"


def blocks_of(page: str) -> list[tuple[str, str]]:
    """(language, text) of each block, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def follow(page: str, prefect: Prefect, folder: Path) -> None:
    """Does in a folder what the page says; blocks that begin with a file's name are written there."""
    environment = {**prefect.environment(), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
                   "OMP_NUM_THREADS": "1", "PYTHONPATH": str(DOCS.parent)}
    for language, text in blocks_of(page):
        if named := re.match(r"# (\S+\.yaml)\n", text):
            (folder / named[1]).write_text(text)
            continue
        commands = {"sh": text.splitlines(), "python": [f"{sys.executable} -c {shlex.quote(text)}"]}
        for command in commands.get(language, []):
            done = subprocess.run(shlex.split(command, comments=True), cwd=folder, env=environment,
                                  capture_output=True, text=True)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
