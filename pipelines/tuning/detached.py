"""A search that goes on in the background, in a session of its own: the terminal that began it may be closed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from typing import IO

from gan_core.errors import GanError
from gan_core.store import Store
from pipelines.lock import live_holder
from pipelines.tuning.standing import name_of

DETACH = "--detach"
BEGUN_WITHIN_S = 120.0
LOOK_S = 0.3


def begin_detached(experiment: str, store: str) -> None:
    """Starts this very command again without `--detach`, and returns once it has the experiment's lock.

    GanError with what it said where it ends before that.
    """
    name, place = name_of(experiment), Store(store)
    words = [word for word in sys.argv[1:] if word != DETACH]
    with tempfile.TemporaryFile("w+") as said:  # the other process has it open for as long as it lives
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", *words], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            start_new_session=True,
        )
        deadline = time.monotonic() + BEGUN_WITHIN_S
        while time.monotonic() < deadline:
            holder = live_holder(place, name)
            if holder is not None and holder.pid == process.pid:
                print(f"gan: process {process.pid} searches; "
                      f"`gan tune status|attach|stop {experiment} --store {store}`", file=sys.stderr)
                return
            if process.poll() is not None:
                _tell_end(process.returncode, said)
                return
            time.sleep(LOOK_S)
        process.kill()
    raise GanError(f"the search did not begin within {BEGUN_WITHIN_S:.0f} s; without {DETACH} it says why")


def _tell_end(status: int, said: IO[str]) -> None:
    """What a search said that ended at once.  GanError where it did not end well."""
    said.seek(0)
    words = said.read().strip().removeprefix("gan: ")
    if status != 0:
        raise GanError(words.splitlines()[-1] if words else "it ended without a word")
    print(words, file=sys.stderr)
