"""The question at Ctrl-C: asked of a person at a terminal alone, while nothing else writes there."""

from __future__ import annotations

import io

import pytest

from pipelines import asking
from pipelines.asking import detach_or_stop


class Terminal(io.StringIO):
    """What a person types, or reads."""

    def isatty(self) -> bool:
        return True


class Moving:
    """A line that moves on the terminal."""

    def __init__(self, out: Terminal) -> None:
        self.out = out

    def stop(self) -> None:
        self.out.write("[stopped]")

    def start(self) -> None:
        self.out.write("[started]")


def asked(monkeypatch: pytest.MonkeyPatch, typing: io.StringIO) -> tuple[bool, str]:
    """Whether the answer was to detach, and what was shown.  pytest has a stderr of its own for each part of a test."""
    out = Terminal()
    monkeypatch.setattr("sys.stdin", typing)
    monkeypatch.setattr("sys.stderr", out)
    monkeypatch.setattr(asking, "moving", Moving(out))
    return detach_or_stop("gan-digits-train-0-1"), out.getvalue()


@pytest.mark.parametrize(("typed", "detach"), [("d\n", True), ("s\n", False), ("x\nd\n", True), ("", False)])
def test_the_answer_is_d_or_s_and_none_stops(monkeypatch: pytest.MonkeyPatch, typed: str, detach: bool) -> None:
    answer, shown = asked(monkeypatch, Terminal(typed))
    assert answer is detach
    assert shown.startswith("[stopped]gan: job gan-digits-train-0-1 is at work. d leaves it at work")
    assert shown.count("gan: detach or stop? ") == (2 if typed.startswith("x") else 1)
    assert "[d/s]" in shown
    assert shown.endswith("[started]")


def test_without_a_terminal_nobody_is_asked_and_the_job_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, io.StringIO("d\n")) == (False, "")
