"""What a search's records say: the best so far, what early stopping saved, merit or luck, who took over whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gan_core.options.tune import TuneConfig
from pipelines.report_names import number
from pipelines.tuning.leaderboard import Row, Status
from pipelines.tuning.records import Change, Search, Trial
from pipelines.tuning.words import setting

STATUSES: tuple[Status, ...] = ("finished", "stopped", "running", "failed")


@dataclass(frozen=True)
class Saved:
    """What early stopping spared, over the trials that have ended and did not fail.

    stopped: trials.  whole, taken: images of all of them at full length, and as they were.  seconds: spared, at the
    mean speed of these trials.
    """

    stopped: int
    whole: int
    taken: int
    seconds: float

    @property
    def share(self) -> float:
        """Of the images at full length, 0 … 1."""
        return (self.whole - self.taken) / self.whole if self.whole else 0.0


@dataclass(frozen=True)
class TakeOver:
    """One trial that went on from another's weights.  changed: what its settings then were, as text."""

    number: int
    change: Change
    changed: tuple[tuple[str, str], ...]


def trial_images(search: Search, tune: TuneConfig) -> int:
    """Of a trial that is not stopped."""
    return tune.images or int(search.settings.experiment["train"]["images"])


def counted(rows: Sequence[Row]) -> str:
    """'12 finished, 18 stopped early, 2 failed'."""
    counts = Counter(row.status for row in rows)
    words = {"stopped": "stopped early", "running": "with work left"}
    return ", ".join(f"{counts[status]} {words.get(status, status)}" for status in STATUSES if counts[status]) or (
        "none has begun")


def saved(rows: Sequence[Row], images: int) -> Saved | None:
    """None where no trial has been stopped.  images: of a trial at full length."""
    ended = [row for row in rows if row.status in ("finished", "stopped")]
    stopped = [row for row in ended if row.status == "stopped"]
    if not stopped:
        return None
    taken = sum(row.images for row in ended)
    spared = sum(max(0, images - row.images) for row in stopped)
    rate = sum(row.seconds for row in ended) / taken if taken else 0.0
    return Saved(len(stopped), taken + spared, taken, spared * rate)


def best_so_far(rows: Sequence[Row], goal: str) -> list[tuple[int, float]]:
    """(number, value): the best of the finished trials up to each number."""
    better = max if goal == "max" else min
    found: list[tuple[int, float]] = []
    for row in sorted(rows, key=lambda row: row.number):
        if row.status == "finished" and row.value is not None:
            found.append((row.number, better(row.value, found[-1][1]) if found else row.value))
    return found


def merit(rows: Sequence[Row]) -> str:
    """Whether the best of the repeated trials is ahead of the second by more than its seeds differ."""
    repeated = [(row, row.mean, row.spread) for row in rows if row.mean is not None and row.spread is not None]
    if not repeated:
        return "No trial was repeated with another seed, so that merit cannot be told from luck."
    if len(repeated) == 1:
        return "One trial alone was repeated, so that there is none to compare it with."
    (first, best, of_first), (second, next_, of_second) = repeated[:2]
    ahead, spread = abs(best - next_), max(of_first, of_second)
    verdict = "more than" if ahead > spread else "no more than"
    advice = "" if ahead > spread else " Take the two as equally good."
    return (f"Trial {first.number} is ahead of trial {second.number} by {number(ahead)}, which is {verdict} the spread "
            f"over seeds, {number(spread)}.{advice}")


def take_overs(search: Search) -> list[TakeOver]:
    """Population-based training: each, in the order of images seen."""
    found = [TakeOver(trial.number, change, _changed(_before(trial, n), change.params))
             for trial in search.trials for n, change in enumerate(trial.changes)]
    return sorted(found, key=lambda one: (one.change.position, one.number))


def steps(trial: Trial, name: str) -> list[tuple[int, Any]]:
    """How a setting of a trial went: (from which position, value), to its last look."""
    points = [(0, trial.settings.params), *((change.position, change.params) for change in trial.changes)]
    if trial.images > points[-1][0]:
        points.append((trial.images, trial.params))
    return [(position, params[name]) for position, params in points if name in params]


def _before(trial: Trial, change: int) -> Mapping[str, Any]:
    return trial.changes[change - 1].params if change else trial.settings.params


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Name, 'old → new' of what is another."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return tuple((name, f"{_said(before, name)} → {_said(after, name)}") for name in names)


def _said(values: Mapping[str, Any], name: str) -> str:
    return setting(values[name]) if name in values else "not set"
