"""The leaderboard for people at a terminal, and all that it says for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipelines.report_names import number
from pipelines.tuning.leaderboard import Row, tune_block
from pipelines.tuning.records import Search
from pipelines.tuning.words import NONE, length, param_names, setting, short_names

if TYPE_CHECKING:
    from rich.table import Table

MOST_COLUMNS = 6  # of settings; more stand in one, by name
COLOURS = {"finished": "green", "stopped": "yellow", "failed": "red", "running": "cyan"}


def leaderboard_table(rows: Sequence[Row]) -> Table:
    """A line a trial, in the order that is given."""
    from rich.table import Table
    from rich.text import Text

    names = short_names(param_names(rows))
    apart = len(names) <= MOST_COLUMNS
    repeated = any(row.mean is not None for row in rows)
    table = Table("rank", "trial", "value", *(["mean ± spread"] if repeated else []), "images", "time", "status",
                  *(names.values() if apart else ["settings"]), box=None, pad_edge=False,
                  header_style="bold")
    for column in table.columns:
        column.overflow = "fold"
    for column in table.columns[:-1 - (len(names) if apart else 1)]:
        column.justify, column.no_wrap = "right", True
    for row in rows:
        said = [setting(row.params[name]) if name in row.params else NONE for name in names]
        told = said if apart else [", ".join(f"{short}={value}" for short, value in zip(names.values(), said,
                                                                                     strict=True))]
        table.add_row(
            str(row.rank), str(row.number), NONE if row.value is None else number(row.value),
            *([_mean(row)] if repeated else []), f"{row.images:,}", length(row.seconds),
            Text(row.status, style=COLOURS[row.status]), *map(Text, told),
        )
    return table


def _mean(row: Row) -> str:
    if row.mean is None or row.spread is None:
        return ""
    return f"{number(row.mean)} ± {number(row.spread)} (n={row.seeds})"


def as_json(search: Search, rows: Sequence[Row]) -> dict[str, Any]:
    """What is searched, how many trials ended in which way, and every row."""
    tune = tune_block(search)
    return {
        "prefix": search.prefix,
        "key": search.settings.key,
        "experiment": search.settings.experiment["name"],
        "objective": tune.objective.model_dump(mode="json"),
        "look_samples": tune.look_samples,
        "split": "validation",
        "trials": dict(sorted(Counter(row.status for row in rows).items())),
        "images": sum(trial.images for trial in (*search.trials, *search.repeats)),
        "rows": [asdict(row) for row in rows],
    }
