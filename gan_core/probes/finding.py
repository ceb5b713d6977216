"""One thing that was looked at, and what it means for whoever runs things here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from gan_core.errors import GanError, StoreError
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
    """What a probe finds; that it failed, with the advice, where it raises: its own where an error of ours has one."""
    try:
        return probe()
    except Exception as error:  # every file system and every library has its own
        fault = _fault(error)
        if not isinstance(fault, GanError):
            return bad(name, reason(fault), advice)
        what, _, own = str(fault).partition("; ")
        return bad(name, what, own or advice)


def _fault(error: BaseException) -> BaseException:
    """What a store's client said, without what was made of it for those who run pipelines."""
    if isinstance(error, OSError | StoreError) and error.__cause__ is not None:
        return _fault(error.__cause__)
    return error
