"""The end of a command's process without taking the interpreter apart.

Torch, Ray and Prefect leave a heap that CPython takes one to two seconds to free, object by object; the kernel frees it
at once.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

FAILED = 1
LOST_OUTPUT = 120  # as CPython ends when standard output could not be flushed


@contextmanager
def quick_end() -> Iterator[None]:
    """The process that ends with this block ends at once, with the status that it would have had.

    What is registered at exit within the block still runs, and threads that are not daemons are still waited for.
    """
    status = [0]
    atexit.register(_end, status)  # first in, so last out
    try:
        yield
    except SystemExit as ended:
        status[0] = ended.code if isinstance(ended.code, int) else FAILED if ended.code else 0
        raise
    except BaseException:
        status[0] = FAILED
        raise


def _end(status: list[int]) -> None:
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError):  # a pipe that nobody reads, or closed
        status[0] = status[0] or LOST_OUTPUT
    os._exit(status[0])
