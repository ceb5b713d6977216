"""A command's process ends at once, and as it would have ended otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import atexit, sys, threading, time
from pipelines.quick_end import quick_end
class Late:
    def __del__(self): print("taken apart")
kept = Late()
def slowly(): time.sleep(0.3); print("thread done")
with quick_end():
    atexit.register(print, "at exit")
    threading.Thread(target=slowly).start()
    {ends}
"""


def ended(ends: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PROGRAM.format(ends=ends)], capture_output=True, text=True)


@pytest.mark.parametrize(("ends", "status"), [
    ("print('said')", 0), ("sys.exit()", 0), ("sys.exit(3)", 3), ("sys.exit('advice')", 1), ("raise KeyError('x')", 1),
])
def test_the_status_is_the_one_it_would_have_had(ends: str, status: int) -> None:
    assert ended(ends).returncode == status


def test_what_it_said_arrives_and_threads_and_exit_handlers_run_but_nothing_is_taken_apart() -> None:
    assert ended("print('said')").stdout.splitlines() == ["said", "thread done", "at exit"]


def test_an_error_that_nobody_caught_is_shown() -> None:
    assert "KeyError: 'x'" in ended("raise KeyError('x')").stderr


def test_output_that_nobody_could_write_is_told_by_the_status() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", PROGRAM.format(ends="print('x')")], stdout=full, env=environment)
    assert done.returncode == 120
