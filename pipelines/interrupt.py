"""The end of a command by Ctrl-C."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

INTERRUPTED = 130  # as shells report a command that Ctrl-C ended


def end_interrupted(how_it_goes_on: str) -> NoReturn:
    """Says how the command goes on, and ends this process at once: threads may still be at work in it."""
    print(f"gan: interrupted; {how_it_goes_on}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)
