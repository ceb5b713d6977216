"""The settings that two experiments differ in, as a table on standard error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from pipelines.config_diff import UNSET, Difference
from pipelines.show import console


def show_diff(a: str, b: str, found: Sequence[Difference], anew: Sequence[str]) -> None:
    """One line a setting, with the stage whose result depends on it; then the stages that run anew."""
    out = console()
    if not found:
        out.print("no setting differs")
    else:
        table = Table("setting", a, b, "stage", box=None, pad_edge=False, header_style="bold")
        for one in found:
            table.add_row(one.setting, _shown(one.a), _shown(one.b), one.stage)
        out.print(table)
    out.print(f"made anew: {', '.join(anew)}" if anew else "no stage is made anew")


def _shown(value: Any) -> str:
    return UNSET if value == UNSET else json.dumps(value, ensure_ascii=False)
