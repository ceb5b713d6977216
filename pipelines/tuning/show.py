"""The leaderboard for people at a terminal, and all that it says for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipelines.report_names import number
from pipelines.show import LOG_WIDTH
from pipelines.tuning.leaderboard import Row, tune_block
from pipelines.tuning.records import Search
from pipelines.tuning.words import NONE, length, param_names, setting, short_names

if TYPE_CHECKING:
    from rich.table import Table

MOST_COLUMNS = 6  # of settings; more stand in one, by name
WIDTH_OF_OTHERS = 60  # of the columns before them, in characters
LEAST = 6  # characters of a column of settings, for its name
COLOURS = {"finished": "green", "stopped": "yellow", "failed": "red", "running": "cyan"}


def leaderboard_table(rows: Sequence[Row], width: int = LOG_WIDTH) -> Table:
    """A line a trial, in the order that is given; a repeated one with the mean and the spread over its seeds.

    width: in characters, of where it will stand; settings that do not fit beside each other stand in one column.
    """
    from rich.table import Table
    from rich.text import Text

    names = short_names(param_names(rows))
    said = [[setting(row.params[name]) if name in row.params else NONE for name in names] for row in rows]
    table = Table("rank", "trial", "value", "images", "time", "status", box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.no_wrap, column.justify = True, "left" if column.header == "status" else "right"
    longest = [max(LEAST, *map(len, values)) for values in zip(*said, strict=True)]
    if len(names) > MOST_COLUMNS or WIDTH_OF_OTHERS + sum(2 + most for most in longest) > width:
        table.add_column("settings", overflow="fold")
        said = [[", ".join(map("=".join, zip(names.values(), values, strict=True)))] for values in said]
    else:
        for short, most in zip(names.values(), longest, strict=True):
            table.add_column(short.replace(".", ".\n"), overflow="fold", min_width=most)
    for row, values in zip(rows, said, strict=True):
        table.add_row(str(row.rank), str(row.number), _value(row), f"{row.images:,}", length(row.seconds),
                      Text(row.status, style=COLOURS[row.status]), *map(Text, values))
    return table


def _value(row: Row) -> str:
    if row.mean is not None and row.spread is not None:
        return f"{number(row.mean)} ± {number(row.spread)}"
    return NONE if row.value is None else number(row.value)


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
