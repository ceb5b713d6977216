"""What a fresh machine lacks is installed, also where it has a part of it already."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "infra/local"


@pytest.mark.parametrize(("script", "there", "wanted"), [
    ("s3.sh", ("curl", "ceph"), "radosgw"),
    ("prefect.sh", ("psql",), "postgresql"),
    ("hosts.sh", ("curl",), "iproute2"),
])
def test_a_machine_with_some_of_the_tools_gets_the_others(
    script: str, there: tuple[str, ...], wanted: str, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    _tools(tmp_path / "bin", {"apt-get": f'echo "$*" >> {asked}', **dict.fromkeys(there, "")})
    done = _install(script, tmp_path / "bin")
    assert done.returncode == 0, done.stderr
    assert wanted in asked.read_text()


def _tools(folder: Path, lines: dict[str, str]) -> None:
    """Commands of these names, and those of the system that the scripts themselves take."""
    folder.mkdir()
    for name, line in {**lines, "id": "echo 0", "tee": "cat > /dev/null", "mkdir": "", "sudo": 'exec "$@"'}.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    for name in ("env", "cat", "sh", "bash", "dirname", "sed"):
        (folder / name).symlink_to(f"/usr/bin/{name}")


def _install(script: str, tools: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PATH"} | {"PATH": str(tools)}
    return subprocess.run(["/bin/bash", SCRIPTS / script, "install"], env=environment, capture_output=True, text=True,
                          timeout=30)
