"""Which settings told the best trials of a search from the others, by Optuna."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gan_core.options.distributions import as_text
from gan_core.options.tune import TuneConfig
from pipelines.tuning.leaderboard import Row
from pipelines.tuning.records import Search

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FEW = 5  # finished trials, below which nothing is said, and the fewest that count as the best
SHARE = 0.1  # of the trials that count as the best, where there are more


@dataclass(frozen=True)
class Importance:
    """shares: by dotted name, the largest first; together 1.  best: trials that were told from the rest.  of: all."""

    shares: Mapping[str, float]
    best: int
    of: int


def importance(search: Search, rows: Sequence[Row], tune: TuneConfig) -> Importance | str:
    """PED-ANOVA over places on the leaderboard (arXiv 2304.10255; for conditional settings arXiv 2601.20800).

    It looks at how the best trials spread over each setting beside how all of them do.  Places, since the trials that
    were stopped early have no value to compare, yet a place.  A sentence where it cannot be told.
    """
    finished = [row for row in rows if row.status == "finished" and row.value is not None]
    if any(trial.changes for trial in search.trials):
        return "Trials changed their settings while they trained, so that no value can be put down to one of them."
    if len(finished) < FEW:
        return f"It cannot be told from {len(finished)} finished trials; it takes {FEW}."
    if len({row.value for row in finished}) == 1:
        return "All finished trials reached the same value, so that no setting made a difference."
    ranked = [row for row in rows if row.status in ("finished", "stopped")]
    quantile = max(SHARE, min(FEW, len(ranked) / 2) / len(ranked))
    shares = _shares([_frozen(row, tune) for row in ranked], quantile)
    return Importance(dict(sorted(shares.items(), key=lambda item: (-item[1], item[0]))),
                      math.ceil(quantile * len(ranked)), len(ranked))


def _shares(trials: Sequence[FrozenTrial], quantile: float) -> dict[str, float]:
    import optuna

    with warnings.catch_warnings():  # of too few trials with a conditional setting, whose share is then nearly 0
        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study()
        study.add_trials(trials)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
        return optuna.importance.get_param_importances(study, evaluator=evaluator)


def _frozen(row: Row, tune: TuneConfig) -> FrozenTrial:
    """A trial as Optuna has it, with its place as its value."""
    from optuna.trial import FixedTrial, create_trial

    asked = FixedTrial({name: _asked(tune, name, value) for name, value in row.params.items()})
    tune.draw(asked)
    return create_trial(params=asked.params, distributions=asked.distributions, value=float(row.rank))


def _asked(tune: TuneConfig, name: str, value: Any) -> Any:
    """What the searcher answered."""
    return as_text(value) if tune.space[name].choices else value
