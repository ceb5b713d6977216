"""Questions to whoever sits at a terminal, while a line moves on it."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.live import Live

moving: Live | None = None  # what moves on this process's terminal now, and must stand still for an answer


def detach_or_stop(job: str) -> bool:
    """Whether the answer is to detach.  Without a terminal nobody is asked, and the job is to stop."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    from rich.console import Console
    from rich.prompt import Prompt

    out = Console(stderr=True, markup=False, highlight=False)
    if moving is not None:
        moving.stop()
    try:
        out.print(f"gan: job {job} is at work. d leaves it at work and ends this command; s stops it, with a "
                  "checkpoint where it trains; Ctrl-C ends this command at once", soft_wrap=True)
        answer = ""
        with suppress(EOFError):
            answer = Prompt.ask("gan: detach or stop?", choices=["d", "s"], console=out)
    finally:
        if moving is not None:
            moving.start()
    return answer == "d"
