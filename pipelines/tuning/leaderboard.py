"""The trials of a search, the best first, and how much of a trial's merit other seeds confirm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Literal

from gan_core.config import validate
from gan_core.manifest import canonical_digest
from gan_core.options.tune import TuneConfig
from pipelines.tuning.records import Ended, Search, Trial

Status = Ended | Literal["running"]
DIGEST_SHOWN = 12


@dataclass(frozen=True)
class Seeded:
    """What the settings of a trial reached with one seed.  value: None where it has not finished with a finite one."""

    seed: int
    value: float | None
    status: Status


@dataclass(frozen=True)
class Row:
    """One trial on the leaderboard.

    rank: 1 is the best.  params: its values by dotted name; after population-based training, those it ended with.
    value: of the objective at its last look, None before the first or where it was not finite.  mean, spread: over its
    own seed and those that repeated it, of the finished ones; spread is the standard deviation, n − 1; None without a
    finished repeat.  repeats: one for each other seed.  images: seen.  seconds: of training and looking.  settings:
    digest of the values and the seed.  problem: of a failed one.
    """

    rank: int
    number: int
    params: dict[str, Any]
    value: float | None
    mean: float | None
    spread: float | None
    repeats: tuple[Seeded, ...]
    images: int
    seconds: float
    status: Status
    seed: int
    settings: str
    problem: str

    @property
    def seeds(self) -> int:
        """With how many seeds it has finished, its own included."""
        return 1 + sum(repeat.value is not None for repeat in self.repeats)


def tune_block(search: Search) -> TuneConfig:
    """What is searched and how, without the plug-ins that the experiment may name."""
    return validate(TuneConfig, search.settings.experiment["tune"], f"{search.prefix}/search.json: tune")


def leaderboard(search: Search) -> tuple[Row, ...]:
    """Every trial.  Finished ones lead: by the mean over seeds those that were repeated, then by value the others.

    Stopped ones follow, those that came further first and then by value, then the running in the same way, then the
    failed ones.
    """
    sign = -1.0 if tune_block(search).objective.goal == "max" else 1.0
    unranked = [_row(trial, _repeats(search, trial.number)) for trial in search.trials]
    ranked = sorted(unranked, key=lambda row: _place(row, sign))
    return tuple(Row(**{**vars(row), "rank": rank}) for rank, row in enumerate(ranked, start=1))


def _repeats(search: Search, number: int) -> tuple[Seeded, ...]:
    return tuple(
        Seeded(repeat.settings.seed, repeat.value if _status(repeat) == "finished" else None, _status(repeat))
        for repeat in search.repeats if repeat.number == number
    )


def _row(trial: Trial, repeats: Sequence[Seeded]) -> Row:
    """Its rank is not known yet."""
    others = [repeat.value for repeat in repeats if repeat.value is not None]
    confirmed = _status(trial) == "finished" and trial.value is not None and bool(others)
    values = [value for value in (trial.value, *others) if value is not None]
    return Row(
        rank=0,
        number=trial.number,
        params=trial.params,
        value=trial.value,
        mean=fmean(values) if confirmed else None,
        spread=stdev(values) if confirmed else None,
        repeats=tuple(repeats),
        images=trial.images,
        seconds=trial.looks[-1].seconds if trial.looks else 0.0,
        status=_status(trial),
        seed=trial.settings.seed,
        settings=canonical_digest({"params": trial.params, "seed": trial.settings.seed})[:DIGEST_SHOWN],
        problem=trial.end.problem if trial.end else "",
    )


def _status(trial: Trial) -> Status:
    return trial.end.status if trial.end else "running"


def _place(row: Row, sign: float) -> tuple[float, ...]:
    """Smaller is better.  sign: −1 where the objective is maximised."""
    by_value = math.inf if row.value is None else sign * row.value
    match row.status:
        case "finished" if row.mean is not None:
            return (0, sign * row.mean, row.number)
        case "finished":
            return (1, by_value, row.number)
        case "stopped":
            return (2, -row.images, by_value, row.number)
        case "running":
            return (3, -row.images, by_value, row.number)
        case "failed":
            return (4, row.number)
