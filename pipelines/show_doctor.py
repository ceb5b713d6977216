"""What a person sees of `gan doctor`: a table on a terminal, elsewhere a line as soon as it is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gan_core.probes.finding import Finding
from gan_core.probes.races import Say
from pipelines.show import console

MARKS = {"good": ("✓", "green"), "warning": ("!", "yellow"), "bad": ("✗", "red")}


@contextmanager
def progress() -> Iterator[Say]:
    """What goes on, in one line of a terminal that is gone in the end; nothing elsewhere."""
    out = console()
    if not out.is_terminal:
        yield lambda what: None
        return
    with out.status("") as status:
        yield status.update


def show(title: str, findings: Iterable[Finding]) -> list[Finding]:
    """Prints them and returns them."""
    out = Console(markup=False, highlight=False, soft_wrap=False)
    if not out.is_terminal:
        out = Console(markup=False, highlight=False, soft_wrap=True)
        out.print(title)
        return [_line(out, finding) for finding in findings]
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(width=16)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    known = list(findings)
    for finding in known:
        mark, colour = MARKS[finding.verdict]
        table.add_row(Text(mark, style=colour), finding.name, finding.found,
                      Text(finding.means, style=colour if finding.verdict != "good" else "dim"))
    out.print(table)
    out.print()
    return known


def summary(findings: Iterable[Finding]) -> None:
    """The last line."""
    verdicts = [finding.verdict for finding in findings]
    failed, warned = verdicts.count("bad"), verdicts.count("warning")
    colour = "red" if failed else "yellow" if warned else "green"
    Console(markup=False, highlight=False, soft_wrap=True).print(
        f"{len(verdicts)} probed: {failed} failed, {warned} to look at", style=colour)


def _line(out: Console, finding: Finding) -> Finding:
    out.print(f"{MARKS[finding.verdict][0]} {finding.name}: {finding.found} → {finding.means}")
    return finding
