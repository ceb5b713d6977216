"""A search in words: values, names, the objective, lengths of time, as a terminal and a page say them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from gan_core.options.distributions import Distribution
from gan_core.options.tune import TuneConfig
from pipelines.report_names import number
from pipelines.tuning.leaderboard import Row
from pipelines.tuning.records import SearchSettings

NONE = "—"
PLAIN = (1e-7, 1e7)  # sizes between which numbers are written without an exponent
DIGITS = 4  # of a setting that are shown


def setting(value: Any) -> str:
    """A value as people read it: 0.000213, true, [0, 0.99], text without quotes."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, int) or not PLAIN[0] <= abs(value) < PLAIN[1]:
        return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return f"{float(f'{value:.{DIGITS}g}'):.{max(0, 12 - whole)}f}".rstrip("0").rstrip(".")


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Each dotted name by its last parts, as few as tell it from the others."""
    every = list(dict.fromkeys(names))
    return {name: _short(name, [other for other in every if other != name]) for name in every}


def _short(name: str, others: Sequence[str]) -> str:
    parts = name.split(".")
    tails = (".".join(parts[start:]) for start in range(len(parts) - 1, 0, -1))
    return next((tail for tail in tails if not any(f".{other}".endswith(f".{tail}") for other in others)), name)


def param_names(rows: Sequence[Row], tune: TuneConfig | None = None) -> list[str]:
    """The names that are searched, in the order of the block, else as they appear."""
    return list(dict.fromkeys([*(tune.space if tune else ()), *(name for row in rows for name in row.params)]))


def objective_words(tune: TuneConfig) -> str:
    """'fd_domain', or '1 * fd_domain + -10 * recall_domain'."""
    weighted = tune.objective.weighted or {}
    return " + ".join(f"{setting(weight)} * {name}" for name, weight in weighted.items()) or tune.objective.names[0]


def measured_words(tune: TuneConfig, settings: SearchSettings) -> str:
    """On what: 'by the averaged weights, n_real = n_fake = 180, validation split'."""
    looked = f"by the averaged weights, n_real = n_fake = {settings.n:,}, {settings.split} split"
    of_curves = ", ".join(name for name in tune.objective.names if "/" in name)
    if not of_curves:
        return looked
    alone = all("/" in name for name in tune.objective.names)
    return f"{of_curves} from the training curves" + ("" if alone else f"; the rest {looked}")


def distribution_words(distribution: Distribution) -> str:
    """'0.00001 to 0.001, logarithmic; only with model.width 32 or 64'."""
    if distribution.choices:
        told = _one_of(distribution.choices)
    else:
        told = " to ".join(map(setting, distribution.ends)) + (", logarithmic" if distribution.log else "")
    return "; ".join([told, *(f"only with {name} {_one_of(values)}" for name, values in distribution.when.items())])


def _one_of(values: Sequence[Any]) -> str:
    *others, last = map(setting, values)
    return f"{', '.join(others)} or {last}" if others else last


def value_words(row: Row) -> str:
    """'3.21', '3.30 ± 0.12 (3 seeds)', '—'."""
    if row.mean is not None and row.spread is not None:
        return f"{number(row.mean)} ± {number(row.spread)} ({row.seeds} seeds)"
    return NONE if row.value is None else number(row.value)


def length(seconds: float) -> str:
    """Seconds below two minutes, then minutes, then hours."""
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes} min" if minutes < 120 else \
        f"{minutes // 60} h {minutes % 60} min"
