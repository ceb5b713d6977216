"""What a person sees of a plan and of a run that has ended: tables, and where to look.

All on standard error; standard output is for JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gan_core.config import Bound, Experiment
from gan_core.options.gate import Rule, rules_of
from gan_core.published import name_and_version
from gan_core.store import Store
from pipelines.estimates import Estimate, total
from pipelines.gate import judge
from pipelines.intervals import bounded
from pipelines.models import Standard, read_verdict
from pipelines.plan import Action, Step

if TYPE_CHECKING:
    from pipelines.outcome import Outcome
    from pipelines.records import StageResult

COLOURS = {"RUN": "green", "REUSED": "cyan", "REUSE": "cyan", "RESUMED": "yellow", "RESUME": "yellow",
           "DEPENDS": "magenta", "FAILED": "red", "STOPPED": "yellow", "DONE": "green", "REFUSED": "red",
           "NOT STARTED": "yellow"}
LOG_WIDTH = 200


def console() -> Console:
    """Standard error as it is now; lines of a log are not folded to a terminal's width."""
    out = Console(stderr=True, highlight=False, markup=False)
    return out if out.is_terminal else Console(stderr=True, highlight=False, markup=False, width=LOG_WIDTH)


def plan_table(steps: list[Step], took: Mapping[str, Estimate]) -> None:
    """One line a stage: what a run would do, how long that may take, and why; then all together."""
    table = Table("stage", "action", "estimate", "reason", box=None, pad_edge=False, header_style="bold")
    for step in steps:
        table.add_row(step.stage, coloured(str(step.action)), estimated(took[step.stage]), step.reason)
    nothing = all(step.action is Action.REUSE for step in steps)
    if not nothing:
        table.add_row("total", "", _length(total(took)), "")
    console().print(table)
    if nothing:
        console().print("nothing new")


def estimated(found: Estimate) -> str:
    """A length of time and what it is from."""
    if found.seconds is None:
        return "unknown (no past run)"
    return f"{_length(found)} (from {found.runs} run{'s' * (found.runs > 1)})" if found.runs else _length(found)


def _length(found: Estimate) -> str:
    """Seconds below two minutes, then minutes, then hours."""
    if found.seconds is None:
        return "unknown"
    minutes = round(found.seconds / 60)
    words = f"{found.seconds:.0f} s" if found.seconds < 120 else f"{minutes} min" if minutes < 120 else \
        f"{minutes // 60} h {minutes % 60} min"
    return f"at most {words}" if found.at_most else words


def result_table(store: Store, experiment: Experiment, outcome: Outcome) -> None:
    """What each stage did, then the metrics against the gate, then where to look."""
    out = console()
    out.print(_stages_table(store, outcome))
    out.print()
    out.print(f"{'store':<12} {store.url}", soft_wrap=True)
    for what, at, file in outcome.made(store):
        out.print(f"{what:<12} {_place(store, at, file)}", soft_wrap=True)
    prefix = outcome.scores(store)
    if prefix is None:
        return
    metrics = json.loads(store.read(f"{prefix}/metrics.json"))
    measured = next(iter(metrics.values()))
    out.print()
    gate = experiment.publish.gate if outcome.published is not None else {}
    out.print(_metrics_table(gate, metrics, _champion(store, experiment, prefix)))
    out.print(f"{measured['split']} split, {measured['n_real']} real and {measured['n_fake']} generated images")
    for name, warned in ((name, found["warning"]) for name, found in metrics.items() if found.get("warning")):
        out.print(f"{name}: {warned}", style="yellow", soft_wrap=True)


def _stages_table(store: Store, outcome: Outcome) -> Table:
    """One line a stage; images and their speed where it trained: of this run, its start-up included."""
    trained = any(result.trained for result in outcome.results)
    speed = ("images", "images/s") if trained else ()
    table = Table("stage", "status", "seconds", *speed, "made", box=None, pad_edge=False, header_style="bold")
    for column in table.columns[2:-1]:
        column.justify = "right"
    for column in table.columns[:-1]:
        column.no_wrap = True
    table.columns[-1].overflow = "fold"
    for result in outcome.results:
        said = _speed(result) if trained else ()
        made = result.uri.removeprefix(f"{store.url}/") if result.done else ""
        table.add_row(result.name, coloured(result.status), f"{result.seconds:.1f}", *said, made)
    return table


def _speed(result: StageResult) -> tuple[str, str]:
    """The positions that training went from and to, and images a second of the stage."""
    if result.trained is None:
        return "", ""
    begun, ended = result.trained
    images = f"{begun:,} to {ended:,}" if begun else f"{ended:,}"
    return images, f"{(ended - begun) / max(result.seconds, 1e-3):,.0f}"


def _metrics_table(
    gate: Mapping[str, Bound], metrics: dict[str, dict[str, object]], champion: Standard | None
) -> Table:
    judged = ("gate",) if gate else ()
    table = Table("metric", "value", *judged, box=None, pad_edge=False, header_style="bold")
    table.columns[1].justify = "right"
    for name, measured in metrics.items():
        verdict = ""
        if (bound := gate.get(name)) is not None:
            rules = (f"{rule.side.replace('_', ' ')} {_words(name, rule, champion)}" for rule in rules_of(bound))
            verdict = " ".join(rules) + (" ✗" if judge(metrics, {name: bound}, champion) else " ✓")
        table.add_row(name, bounded(measured, "{:.4f}".format), *(verdict for _ in judged))
    return table


def _words(metric: str, rule: Rule, champion: Standard | None) -> str:
    """A rule with the champion's number, where it has one."""
    if not rule.relative or champion is None:
        return rule.words("champion (none yet)")
    its = champion.values.get(metric)
    return rule.words(f"champion {champion.version}" + ("" if its is None else f" ({its:.4f})"))


def _champion(store: Store, experiment: Experiment, prefix: str) -> Standard | None:
    """What relative rules measured the version by."""
    known = name_and_version(prefix)
    verdict = read_verdict(store, *known, experiment.publish.gate) if known else None
    return verdict.champion if verdict else None


def _place(store: Store, prefix: str, file: str) -> str:
    path = f"{prefix}/{file}".rstrip("/")
    return str(store.local_path(path)) if store.is_local else store.uri(path)


def coloured(word: str) -> Text:
    """A status or an action in its colour."""
    return Text(word, style=COLOURS.get(word, ""))
