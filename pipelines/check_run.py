"""`gan dataset check`: the check of an experiment's data, shown as it goes, with contact sheet and card beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gan_core.config import Experiment
from gan_core.data.check import check
from gan_core.data.checks.report import Report, sentence
from gan_core.data.contact import contact_sheet
from gan_core.data.source import source_of
from gan_core.data.transforms import apply
from gan_core.errors import ConfigError
from pipelines.data_card import write_card
from pipelines.pictures import check_folder, save_png
from pipelines.show import console

COLOURS = {"pass": "green", "warn": "yellow", "refuse": "red"}
SHEET, CARD, FINDINGS = "contact.png", "card.html", "check.json"


@dataclass(frozen=True)
class Checked:
    """What was found, and the folder with the contact sheet, the card, and the findings as JSON."""

    report: Report
    folder: Path

    def as_json(self) -> dict[str, Any]:
        """{"verdict", "findings", "summary", "contact_sheet", "card"}."""
        return {
            **self.report.as_json(),
            "summary": self.report.summary(),
            "contact_sheet": str(self.folder / SHEET),
            "card": str(self.folder / CARD),
        }

    def say(self) -> None:
        """The verdict, a line a finding, and where to look; folded to a terminal's width, whole in a log."""
        out = Console(markup=False, highlight=False)
        if not out.is_terminal:
            print("\n".join(self.report.lines()))
        else:
            verdict = self.report.verdict
            table = Table(box=None, show_header=False, pad_edge=False)
            table.add_column(no_wrap=True)
            table.add_column(overflow="fold")
            table.add_row(Text(verdict, style=f"bold {COLOURS[verdict]}"), self.report.summary())
            for finding in self.report.findings:
                kind = Text(finding.severity, style=COLOURS[finding.severity])
                table.add_row(kind, f"{finding.kind}: {sentence(finding)}")
            out.print(table)
        print(f"contact sheet  {self.folder / SHEET}\ndata card      {self.folder / CARD}")


def check_dataset(experiment: Experiment, folder: Path, limit: int | None) -> Checked:
    """Checks an experiment's data as prepare would read it, and writes sheet, card and findings.

    limit: items of each split that are looked at.  ConfigError where nothing can be written; never for the data.
    """
    check_folder(folder, folder)
    source = source_of(experiment)
    with _shown() as progress:
        report = check(
            source,
            partial(apply, transforms=experiment.prepare.transforms),
            limit=limit,
            bad_allowed=experiment.prepare.max_bad_fraction,
            split_needed=experiment.evaluate.split,
            conditional=getattr(experiment.model, "conditional", None),
            progress=progress,
        )
    checked = Checked(report, folder)
    save_png(contact_sheet(report), folder / SHEET)
    try:
        (folder / FINDINGS).write_text(json.dumps(checked.as_json(), indent=1, ensure_ascii=False), encoding="utf-8")
        options = {name: value for name, value in experiment.as_json()["data"].items() if value is not None}
        write_card(folder / CARD, experiment.name, options, report, (folder / SHEET).read_bytes())
    except OSError as error:
        raise ConfigError(f"--out {folder}: {error.strerror or error}; name a directory of yours") from None
    return checked


@contextmanager
def _shown() -> Iterator[Callable[[int, int | None], None] | None]:
    """A bar on a terminal."""
    out = console()
    if not out.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True) as bars:
        bar = bars.add_task("checking", total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
