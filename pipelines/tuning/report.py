"""The report of a search: one HTML file that any browser opens, offline, from the records alone.

    html = search_report(search, rows, curves, samples)

Equal records give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from markupsafe import Markup

from gan_core.options.tune import TuneConfig
from pipelines.pages import page
from pipelines.report import LINE_COLOURS, picture_uri
from pipelines.report_names import number
from pipelines.tuning.axes import UNSET, Axis, axes_of
from pipelines.tuning.figures import far_apart, history, learning_curves, parallel, slice_of, taken_over
from pipelines.tuning.findings import best_so_far, counted, merit, saved, steps, take_overs, trial_images
from pipelines.tuning.importance import importance
from pipelines.tuning.leaderboard import Row, tune_block
from pipelines.tuning.records import Look, Search
from pipelines.tuning.words import (
    NONE,
    distribution_words,
    length,
    measured_words,
    objective_words,
    param_names,
    setting,
    short_names,
    value_words,
)

MOST_COLUMNS = 6  # of settings; more stand in one
SHOWN = 20  # rows of the leaderboard
PICTURES_BYTES, SIDES = 1_500_000, (1200, 800, 600, 400)  # of all sample grids together
KEYS = {"finished": "finished", "stopped": "stopped early", "running": "with work left"}
GOALS = {"min": "minimised", "max": "maximised"}


@dataclass(frozen=True)
class Panel:
    """A figure about one setting.  says: one line below its name."""

    name: str
    says: str
    svg: Markup


def search_report(
    search: Search, rows: Sequence[Row], curves: Mapping[int, Sequence[Look]], samples: Mapping[int, bytes]
) -> str:
    """The page as text.

    rows: the leaderboard.  curves: looks by a trial's number.  samples: PNG grids of the trials to be shown, by number.
    """
    tune = tune_block(search)
    objective = objective_words(tune)
    valued = [row for row in rows if row.value is not None and row.status != "failed"]
    axes = axes_of(tune, [values for trial in search.trials for values in (
        trial.settings.params, *(change.params for change in trial.changes))])
    return page(
        "tuning/report.html",
        title=f"Search over {search.settings.experiment['name']}",
        best=next((row for row in rows if row.status == "finished" and row.value is not None), None),
        objective=objective,
        goal=GOALS[tune.objective.goal],
        facts=list(_facts(search, tune, rows)),
        rows=rows[:SHOWN],
        more=len(rows) - SHOWN,
        names=(names := short_names(param_names(rows, tune))),
        apart=len(names) <= MOST_COLUMNS,
        repeated=[row for row in rows if row.repeats],
        merit=merit(rows),
        pictures=list(_pictures(rows, samples)),
        history=history(valued, best_so_far(rows, tune.objective.goal), objective) if valued else None,
        curves=learning_curves(rows, curves, objective) if valued else None,
        kinds=[status for status in KEYS if any(row.status == status for row in valued if row.rank > 1)],
        names_of_kinds=KEYS,
        colours=LINE_COLOURS,
        parallel=_parallel(valued, axes, objective),
        slices=_slices(tune, rows, axes, objective) if valued else [],
        importance=importance(search, rows, tune),
        saved=saved(rows, trial_images(search, tune)),
        may_stop=tune.scheduler in ("asha", "hyperband"),
        take_overs=take_overs(search),
        taken_over=_taken_over(search, rows, axes),
        failed=[row for row in rows if row.status == "failed"],
        block=yaml.safe_dump(search.settings.experiment["tune"], sort_keys=False, allow_unicode=True),
        number=number,
        setting=setting,
        value_words=value_words,
        length=length,
        dash=NONE,
        breakable=breakable,
        line_end=Markup("<br>"),
    )


def _facts(search: Search, tune: TuneConfig, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """What was done, one fact a line."""
    experiment = search.settings.experiment
    ran = (*search.trials, *search.repeats)
    yield "Experiment", f"{experiment['name']}: {experiment['model']['recipe']} on {experiment['data']['source']}"
    settings = f"{len(tune.space)} setting{'s' * (len(tune.space) > 1)}"
    yield "Searched", f"{settings}, proposed by {tune.searcher} with seed {tune.seed}"
    yield "Objective", f"{objective_words(tune)}, {GOALS[tune.objective.goal]}; {measured_words(tune, search.settings)}"
    yield "Trials", f"{counted(rows)}, of {tune.samples}; each of at most {trial_images(search, tune):,} images"
    yield "Scheduler", _scheduler(tune, experiment["train"])
    yield "Seeds", ", ".join(map(str, sorted({row.seed for row in rows}))) or NONE
    if tune.repeats.top:
        yield "Repeats", f"the best {tune.repeats.top} with {tune.repeats.seeds} other seeds each: " \
            f"{len(search.repeats)} begun"
    yield "Spent", (f"{sum(trial.images for trial in ran):,} images in "
                    f"{length(sum(trial.looks[-1].seconds for trial in ran if trial.looks))} of training and looks, "
                    "repeats included")
    yield "Search", f"{search.prefix}, key {search.settings.key}"


def _scheduler(tune: TuneConfig, train: Mapping[str, Any]) -> str:
    """Who ended trials or had them learn from each other, and when."""
    lengths = tune.lengths(train["images"], train["batch"])
    if tune.scheduler == "none":
        return "none: every trial runs to its end"
    if tune.scheduler == "pbt":
        return f"pbt: trials learn from better ones every {lengths.perturb_every:,} images"
    return f"{tune.scheduler}: trials may be stopped from {lengths.grace:,} images on, one of {tune.reduction} goes on"


def breakable(name: str) -> Markup:
    """A dotted name that a line may end in, after its dots and underscores."""
    return Markup("{}").format(name).replace(".", Markup(".<wbr>")).replace("_", Markup("_<wbr>"))


def _pictures(rows: Sequence[Row], samples: Mapping[int, bytes]) -> Iterator[tuple[str, str, str]]:
    """Title, caption and data URI, the best trial first."""
    for row in rows:
        if row.number in samples:
            values = "; ".join(f"{name} {setting(row.params[key])}"
                               for key, name in short_names(row.params).items())
            uri = picture_uri(samples[row.number], PICTURES_BYTES // len(samples), SIDES)
            yield f"{row.rank}. Trial {row.number}: {value_words(row)}", values, uri


def _parallel(rows: Sequence[Row], axes: Sequence[Axis], objective: str) -> Markup | None:
    """None where there are no lines to compare."""
    values = [row.value for row in rows if row.value is not None]
    if len(values) < 2:
        return None
    top = Axis(objective, min(values), max(values), far_apart(values))
    return parallel(axes, rows, top, short_names(axis.name for axis in axes))


def _slices(tune: TuneConfig, rows: Sequence[Row], axes: Sequence[Axis], objective: str) -> list[Panel]:
    best = rows[0]
    return [Panel(axis.name, f"{distribution_words(tune.space[axis.name])}; best: "
                             f"{setting(best.params[axis.name]) if axis.name in best.params else UNSET}",
                  slice_of(axis, rows, objective)) for axis in axes]


def _taken_over(search: Search, rows: Sequence[Row], axes: Sequence[Axis]) -> list[Panel]:
    """How each setting went that changed."""
    if not any(trial.changes for trial in search.trials):
        return []
    best = rows[0].number
    panels = []
    for axis in axes:
        lines = {trial.number: line for trial in search.trials if (line := steps(trial, axis.name))}
        if any(value != line[0][1] for line in lines.values() for _, value in line):
            panels.append(Panel(axis.name, "", taken_over(axis, lines, best)))
    return panels
