"""The leaderboard for people at a terminal, and all that it says for programs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipelines.report_names import number
from pipelines.tuning.leaderboard import Row, tune_block
from pipelines.tuning.records import Search
from pipelines.tuning.words import NONE, length, param_names, setting, short_names

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

WIDE = 200  # characters of a line in a log
GAP = 2  # characters between columns
MOST_COLUMNS = 6  # of settings; more stand in one, by name
FACTS_WIDTH = 62  # of the columns before them, in characters
TRIAL_WIDTH = 5  # of the one before them in a table below
LEAST = 6  # characters of a column of settings
READABLE = 30  # characters of one column with all settings: with less room they stand below
COLOURS = {"finished": "green", "stopped": "yellow", "failed": "red", "running": "cyan"}
Column = tuple[str, list[str]]


def leaderboard_table(rows: Sequence[Row], width: int = WIDE) -> RenderableType:
    """A line a trial, in the order that is given; a repeated one with the mean and the spread over its seeds.

    width: in characters, of where it will stand.  Settings have a column each, beside the rest or in a table below it;
    where neither fits, or with many of them, they are listed in one.
    """
    from rich.console import Group

    room = width - FACTS_WIDTH
    beside, below = _columns(rows, room), _columns(rows, width - TRIAL_WIDTH)
    if beside is None and below is None:
        beside, below = ([_listed(rows)], None) if room >= READABLE else (None, [_listed(rows)])
    if beside is not None:
        return _table(rows, beside, facts=True)
    return Group(_table(rows, [], facts=True), "", _table(rows, below or [], facts=False))


def _table(rows: Sequence[Row], columns: Sequence[Column], *, facts: bool) -> Table:
    """facts: all that is known of a trial; without, its number alone."""
    from rich.table import Table
    from rich.text import Text

    heads = ("rank", "trial", "value", "images", "time", "status") if facts else ("trial",)
    table = Table(*heads, box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.no_wrap, column.justify = True, "left" if column.header == "status" else "right"
    for head, _ in columns:
        table.add_column(head, overflow="fold")
    for at, row in enumerate(rows):
        told = (str(row.rank), str(row.number), _value(row), f"{row.images:,}", length(row.seconds),
                Text(row.status, style=COLOURS[row.status]))
        table.add_row(*(told if facts else told[1:2]), *(Text(values[at]) for _, values in columns))
    return table


def _columns(rows: Sequence[Row], room: int) -> list[Column] | None:
    """A column for each setting, under its whole name where that fits; None where so many characters do not do."""
    whole = [(short, [setting(row.params[name]) if name in row.params else NONE for row in rows])
             for name, short in short_names(param_names(rows)).items()]
    for columns in (whole, [(_folded(name, values), values) for name, values in whole]):
        if len(columns) <= MOST_COLUMNS and sum(GAP + _width(column) for column in columns) <= room:
            return columns
    return None


def _listed(rows: Sequence[Row]) -> Column:
    """One column with all settings of a trial, by name."""
    names = short_names(param_names(rows))
    return "settings", [", ".join(f"{short}={setting(row.params[name])}" for name, short in names.items()
                                  if name in row.params) for row in rows]


def _folded(name: str, values: Sequence[str]) -> str:
    """A name on as many lines as it takes to be no wider than its values, broken after its dots and underscores."""
    most, lines = max(LEAST, *map(len, values)), [""]
    for part in re.findall("[^._]+[._]?", name):
        lines = [*lines[:-1], lines[-1] + part] if len(lines[-1] + part) <= most else [*lines, part]
    return "\n".join(filter(None, lines))


def _width(column: Column) -> int:
    head, values = column
    return max(map(len, [*head.splitlines(), *values]))


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
        "split": search.settings.split,
        "n_real": search.settings.n,
        "n_fake": search.settings.n,
        "trials": dict(sorted(Counter(row.status for row in rows).items())),
        "images": sum(trial.images for trial in (*search.trials, *search.repeats)),
        "rows": [asdict(row) for row in rows],
    }
