"""The table of faults in docs/operations.md, made of results."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from tests.chaos.faults import FAULTS

BEGIN, END = "<!-- made by make chaos -->", "<!-- end -->"
HEAD = ("| fault | times tried | recovered | images trained again, at most | seconds until the next checkpoint |\n"
        "|---|---|---|---|---|")


def with_table(document: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The document with the table of these rows between its marks."""
    found = [line for name in FAULTS if (line := _line(name, [row for row in rows if row["fault"] == name]))]
    table = "\n".join((BEGIN, HEAD, *found, END))
    return re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: table, document, flags=re.DOTALL)


def newest(days: Sequence[Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """Of each fault the rows of the last day that has any.  days: in their order."""
    last = {row["fault"]: rows for rows in days for row in rows}
    return [row for name, rows in last.items() for row in rows if row["fault"] == name]


def _line(name: str, rows: Sequence[Mapping[str, Any]]) -> str | None:
    if not rows:
        return None
    well = [row for row in rows if row["survived"]]
    lost = f"{max(row['lost'] for row in well):,}" if well else "—"
    took = sorted(row["seconds"] for row in well)
    seconds = "—" if not took else f"{median(took):.0f}" + (f" (to {took[-1]:.0f})" if len(took) > 1 else "")
    return f"| {FAULTS[name][0]} | {len(rows)} | {len(well)} | {lost} | {seconds} |"
