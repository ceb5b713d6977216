"""The experiment that a search recommends, as a YAML file with where it comes from at its head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from gan_core.config import Experiment, experiment_from
from gan_core.options.merge import FORMS
from gan_core.search_space import with_values
from pipelines.report_names import number
from pipelines.tuning.leaderboard import Row, tune_block
from pipelines.tuning.records import Search
from pipelines.tuning.words import measured_words, objective_words, setting



def best_yaml(search: Search, row: Row) -> str:
    """A file that `gan run` takes: the experiment with the values and the seed of a trial, and without `tune:`.

    Only settings that are not the defaults of its recipe are in it.  Equal records give equal bytes.
    """
    winner = with_values(search.experiment, row.params, seed=row.seed).model_copy(update={"tune": None})
    head = "".join(f"# {' '.join(line.split())}\n" for line in _head(search, row))  # a value may hold a line's end
    return head + yaml.safe_dump(but_defaults(winner), sort_keys=False, allow_unicode=True)


def but_defaults(experiment: Experiment) -> dict[str, Any]:
    """Plain values that `experiment_from` reads as this experiment, without most of what it would put in by itself."""
    every = experiment.as_json()
    set_ = {name: every["data"][name] for name, field in type(experiment.data).model_fields.items()
            if getattr(experiment.data, name) != field.get_default(call_default_factory=True)}
    least = {
        "name": experiment.name,
        "seed": experiment.seed,
        "data": {"source": experiment.source, **set_},
        "model": {"recipe": experiment.recipe},
    }
    differing = _differing(every, experiment_from(least).as_json())
    chosen = {**least, **differing, "model": {**least["model"], **differing.get("model", {})}}
    return chosen if experiment_from(chosen) == experiment else every


def _differing(given: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """What is not as the default has it.  A block of another form is whole, since that form has defaults of its own."""
    kept: dict[str, Any] = {}
    for name, value in given.items():
        other = default.get(name)
        if name in default and value == other:
            continue
        both = isinstance(value, Mapping) and isinstance(other, Mapping)
        alike = both and all(value.get(form) == other.get(form) for form in FORMS)
        kept[name] = _differing(value, other) if alike else value
    return kept


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
        f"({measured_words(tune)}).",
    ]
    if row.mean is not None and row.spread is not None:
        lines.append(f"Over {row.seeds} seeds: {number(row.mean)} ± {number(row.spread)} (standard deviation).")
    else:
        lines.append("It was not repeated with other seeds: how much of that is luck is not known.")
    return [*lines, "Searched: " + ", ".join(f"{name}={setting(value)}" for name, value in row.params.items())]
