"""One thing that was looked at, and what it means for whoever runs things here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from gan_core.errors import GanError
from gan_core.outages import reason

Judgement = Literal["good", "warning", "bad"]


@dataclass(frozen=True)
class Finding:
    """name: what was probed.  found: what there is.  means: for the user, with advice where it is not good."""

    name: str
    verdict: Judgement
    found: str
    means: str

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def good(name: str, found: str, means: str) -> Finding:
    return Finding(name, "good", found, means)


def warning(name: str, found: str, means: str) -> Finding:
    return Finding(name, "warning", found, means)


def bad(name: str, found: str, means: str) -> Finding:
    return Finding(name, "bad", found, means)


def probed(name: str, probe: Callable[[], Finding], advice: str) -> Finding:
    """What a probe finds; that it failed, with the advice, where it raises: after what an error of ours advises."""
    try:
        return probe()
    except GanError as error:
        what, _, own = str(error).partition("; ")
        return bad(name, what, f"{own}; {advice}" if own else advice)
    except Exception as error:  # every file system and every library has its own
        return bad(name, reason(error.__cause__ if isinstance(error, OSError) and error.__cause__ else error), advice)
