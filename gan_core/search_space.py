"""An experiment with the values that a search drew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gan_core.config import Experiment, experiment_from
from gan_core.options.merge import FORMS


def with_values(
    experiment: Experiment, params: Mapping[str, Any], *, images: int | None = None, seed: int | None = None
) -> Experiment:
    """The experiment with these values by dotted name, and without its `tune:` block.

    images, seed: instead of train.images and the experiment's own seed.  A block that takes another form (`family`,
    `algorithm`, `method`) has that form's own defaults for all that is not among the values.  ConfigError for what the
    experiment does not take.
    """
    told = ", ".join(f"{name}={value}" for name, value in params.items())
    where = f"{experiment.name} with {told}" if told else experiment.name
    raw = {**experiment.as_json(), "tune": None}
    if seed is not None:
        raw["seed"] = seed
    lengths = {} if images is None else {"train.images": images}
    return experiment_from(_with(raw, {**params, **lengths}), where)


def _with(raw: dict[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Plain settings with these values; forms first, as they decide which others there are."""
    for name in sorted(params, key=lambda name: name.rpartition(".")[2] not in FORMS):
        *blocks, leaf = name.split(".")
        block = raw
        for step in blocks:
            block[step] = dict(block[step]) if isinstance(block.get(step), Mapping) else {}
            block = block[step]
        if leaf in FORMS and block.get(leaf, params[name]) != params[name]:
            block.clear()
        block[leaf] = params[name]
    return raw
