"""The experiment that a search recommends, as a YAML file with where it comes from at its head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import fill
from typing import Any

import yaml

from gan_core.config import Experiment, experiment_from
from gan_core.options.merge import FORMS
from gan_core.search_space import with_values
from pipelines.report_names import number
from pipelines.tuning.leaderboard import Row, tune_block
from pipelines.tuning.records import Search
from pipelines.tuning.words import measured_words, objective_words, setting

WIDTH = 118  # of the comments


def best_yaml(search: Search, row: Row) -> str:
    """A file that `gan run` takes: the experiment with the values and the seed of a trial, and without `tune:`.

    Besides what was searched, only settings that are not the defaults of its recipe are in it.  Equal records give
    equal bytes.
    """
    winner = with_values(search.experiment, row.params, seed=row.seed)
    told = but_defaults(winner, row.params)
    return "".join(map(_comment, _head(search, row))) + yaml.safe_dump(told, sort_keys=False, allow_unicode=True)


def _comment(text: str) -> str:
    """Lines of a comment, whatever ends of lines a value may hold."""
    whole = " ".join(text.split())
    return fill(whole, WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False,
                break_on_hyphens=False) + "\n"


def but_defaults(experiment: Experiment, named: Iterable[str] = ()) -> dict[str, Any]:
    """Plain values that `experiment_from` reads as this experiment, without most of what it would put in by itself.

    named: dotted names that are written out in any case.
    """
    every = {name: value for name, value in experiment.as_json().items() if name != "tune"}
    set_ = {name: every["data"][name] for name, field in type(experiment.data).model_fields.items()
            if getattr(experiment.data, name) != field.get_default(call_default_factory=True)}
    recipe = {"recipe": experiment.recipe}
    least = {"name": experiment.name, "seed": experiment.seed, "data": {"source": experiment.source, **set_}}
    default = experiment_from({**least, "model": recipe}).as_json()
    differing = _differing(every, default)
    chosen = {**least, **differing, "model": {**recipe, **differing.get("model", {})}}
    for name in named:
        _write_out(chosen, every, name)
    return chosen if experiment_from(chosen) == experiment else every


def _write_out(into: dict[str, Any], every: Mapping[str, Any], name: str) -> None:
    """Puts the setting of that dotted name into nested values."""
    *blocks, leaf = name.split(".")
    for block in blocks:
        into, every = into.setdefault(block, {}), every[block]
    into[leaf] = every[leaf]


def _differing(given: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """What is not as the default has it.  A block of another form is whole, since that form has defaults of its own."""
    kept: dict[str, Any] = {}
    for name, value in given.items():
        other = default.get(name)
        if name in default and value == other:
            continue
        if isinstance(value, Mapping) and isinstance(other, Mapping) and _alike(value, other):
            value = _differing(value, other)
        kept[name] = value
    return kept


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(form) == other.get(form) for form in FORMS)


def _head(search: Search, row: Row) -> list[str]:
    """What was searched, what won and how sure that is: comments, without a date."""
    tune = tune_block(search)
    goal = "maximised" if tune.objective.goal == "max" else "minimised"
    value = "none yet" if row.value is None else repr(row.value)
    lines = [
        f"The best settings of a search over {search.settings.experiment['name']}: trial {row.number}, {row.status}, "
        f"rank {row.rank} of {len(search.trials)} trials.",
        f"Search {search.prefix}, key {search.settings.key}.",
        f"Objective, {goal}: {objective_words(tune)} = {value} after {row.images:,} images",
        f"({measured_words(tune, search.settings)}).",
    ]
    if row.mean is not None and row.spread is not None:
        lines.append(f"Over {row.seeds} seeds: {number(row.mean)} ± {number(row.spread)} (standard deviation).")
    else:
        lines.append("It was not repeated with other seeds: how much of that is luck is not known.")
    values = ", ".join(f"{name}={setting(value)}" for name, value in row.params.items())
    return [*lines, f"Values that were searched: {values}."]
