"""Tune: shards become a searched space, with the best settings that were found in it."""

from __future__ import annotations

from collections.abc import Callable

from gan_core.config import Experiment
from gan_core.errors import ConfigError
from gan_core.metrics.in_search import figures_against as figures_against  # the objective: part of this stage's key
from gan_core.search_space import refuse_unsearchable
from gan_core.store import Store
from gan_core.train.loop import fit as fit  # what each trial runs: part of it too
from pipelines.handles import Shards

Conduct = Callable[[str, str, Shards], None]
"""Searches under (key, prefix) on the shards, from wherever it stands, and leaves the results with a manifest."""


def tune(store: Store, experiment: Experiment, shards: Shards, conduct: Conduct, *, key: str, prefix: str) -> None:
    """Has `conduct` search what the experiment's `tune:` block says.

    Raises, before any trial starts, ConfigError for an experiment without one, or whose space has values that the
    experiment does not take.
    """
    refuse_without_space(experiment)
    refuse_unsearchable(experiment)
    conduct(key, prefix, shards)


def refuse_without_space(experiment: Experiment) -> None:
    """ConfigError for an experiment that has nothing to search."""
    if experiment.tune is None:
        raise ConfigError(f"{experiment.name} has no tune: block; tune: {{space: {{train.ema_half_life: 'uniform(500, "
                          "5000)'}} is a small one, and configs/tune/ has more")
