"""Reasons of an experiment's own to end a run early: judged at every row, with a memory that a checkpoint can hold.

    memory, reason = judge(train.stop_when, memory, row, troubles(recent))

The memory is a plain record of numbers and names, so that a run which is stopped and resumed decides as one that never
stopped.  `ended_by` is the same over the rows of a whole run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from gan_core.config import FD_DOMAIN, StopRule
from gan_core.errors import ConfigError
from gan_core.train.checkpoint import Row
from gan_core.train.report import Trouble
from gan_core.train.trouble import MODE_COLLAPSE, REMEMBERED, troubles
from gan_core.train.watch import ALWAYS, NAMES

Memory = dict[str, Any]
"""{"rows": how many were judged, "names": [those seen in them], "best": {metric/goal: {"value", "position"}}}"""

ROWS_OF_A_LAZY_PHASE = 4  # a phase that is taken every 16th step need not be in each row


def judge(
    rules: Sequence[StopRule], memory: Mapping[str, Any], row: Row, found: Sequence[Trouble]
) -> tuple[Memory, str | None]:
    """The memory after this row, and the reason in one line when a rule ends the run with it.

    memory: what the call for the row before returned, {} at the first.  found: the troubles that last.  The first rule
    in the order of the experiment speaks.  ConfigError when a rule names a metric that the curves do not have: after a
    few rows, or for what a watch measures at the first row that holds such measurements.
    """
    kept = _with(memory, row, rules)
    for number, rule in enumerate(rules):
        if rule.metric is not None:
            _refuse_unknown(f"train.stop_when.{number}.metric", rule.metric, kept, row)
    reasons = (_reason(rule, kept, row, found) for rule in rules)
    return kept, next((reason for reason in reasons if reason is not None), None)


def ended_by(rules: Sequence[StopRule], rows: Sequence[Row]) -> str | None:
    """The reason with which these rows, a run's from its first one on, end it; None when they do not."""
    memory: Memory = {}
    for end in range(1, len(rows) + 1):
        memory, reason = judge(rules, memory, rows[end - 1], troubles(rows[max(0, end - REMEMBERED) : end]))
        if reason is not None:
            return reason
    return None


def _with(memory: Mapping[str, Any], row: Row, rules: Iterable[StopRule]) -> Memory:
    """The memory once this row has been seen.  A value that is not a number is no progress."""
    best = {name: dict(record) for name, record in memory.get("best", {}).items()}
    for rule in rules:
        value = row.get(rule.metric) if rule.rule == "no_progress" and rule.metric is not None else None
        if value is None:
            continue
        name = _tracked(rule)
        if name not in best or _better(value, best[name]["value"], rule.goal):
            best[name] = {"value": float(value), "position": int(row["position"])}
    names = sorted({*memory.get("names", ()), *row} - {"position"})
    return {"rows": memory.get("rows", 0) + 1, "names": names, "best": best}


def _reason(rule: StopRule, memory: Mapping[str, Any], row: Row, found: Iterable[Trouble]) -> str | None:
    if rule.rule == "collapse":
        return next((f"{t.name}: {t.what}" for t in found if t.name == MODE_COLLAPSE), None)
    if rule.metric is None or rule.metric not in row:  # decided where it is measured: the next value may be better
        return None
    value = row[rule.metric]
    if rule.rule == "target":
        return _target(rule, value)
    best = memory["best"][_tracked(rule)]
    waited = int(row["position"]) - best["position"]
    if rule.patience is None or waited < rule.patience:
        return None
    return (f"no progress: {rule.metric} was {best['value']:.4g} after {best['position']:,} images, and nothing in the "
            f"{waited:,} since was {'lower' if rule.goal == 'min' else 'higher'}")


def _target(rule: StopRule, value: float) -> str | None:
    if rule.value is None or not (value <= rule.value if rule.goal == "min" else value >= rule.value):
        return None
    return f"target: {rule.metric} is {value:.4g}, {'at most' if rule.goal == 'min' else 'at least'} {rule.value:.4g}"


def _better(value: float, best: float, goal: str) -> bool:
    if math.isnan(best):
        return True
    return value < best if goal == "min" else value > best


def _tracked(rule: StopRule) -> str:
    return f"{rule.metric}/{rule.goal}"


def _refuse_unknown(field: str, metric: str, memory: Mapping[str, Any], row: Row) -> None:
    """Only once what would hold it has come: a row of the watch, or enough rows that every phase had its turn."""
    if metric in memory["names"] or memory["rows"] < ROWS_OF_A_LAZY_PHASE or metric == FD_DOMAIN:
        return
    if metric.startswith(NAMES) and ALWAYS not in row:
        return
    near = get_close_matches(metric, {*memory["names"], *NAMES}, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ConfigError(f"{field}: the curves have no '{metric}'; {hint}they have {', '.join(memory['names'])}")
