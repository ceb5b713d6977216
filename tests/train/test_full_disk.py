"""A disk without room: one line that says so, nothing half-written, and the same command goes on when there is room."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.train.runs import run_main

LIMIT = 200_000  # bytes in one file: the shards fit, a checkpoint does not; a limit needs no root, a small disk does


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_same_command_goes_on_when_there_is_room(tmp_path: Path) -> None:
    settings = ["train.images=512", "train.checkpoint_every=128", "train.report_every=128", "train.workers=1"]
    command = [sys.executable, "-m", "gan_core.train", "configs/digits.yaml", "--store", str(tmp_path)]
    command += [word for setting in settings for word in ("--set", setting)]
    full = subprocess.run(command, preexec_fn=limited, capture_output=True, text=True)
    assert full.returncode == 1
    (line,) = (line for line in full.stderr.splitlines() if line.startswith("gan_core.train: "))
    assert line.startswith("gan_core.train: file://")
    assert "Traceback" not in full.stderr
    assert "could not be written: File too large; nothing that was finished is lost: make room" in line
    assert not list(tmp_path.glob("runs/*/checkpoints/*"))
    assert not list((tmp_path / ".staging").iterdir())
    assert run_main(*command[3:]) == 0
    assert list(tmp_path.glob("runs/*/MANIFEST.json"))
