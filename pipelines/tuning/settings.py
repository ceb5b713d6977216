"""What a trial's settings are, of those of the experiment that is searched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gan_core.config import Experiment, experiment_from, key_fields
from gan_core.manifest import canonical_digest
from gan_core.options.tune import Lengths, TuneConfig
from gan_core.search_space import with_values

VALUE, LOOKS, POSITION = "value", "looks", "position"  # names of what a trial tells Tune
KEPT = 2  # checkpoints: another trial may be reading the newest one


def tune_of(experiment: Experiment) -> TuneConfig:
    """The `tune:` block of an experiment that has one."""
    assert experiment.tune is not None
    return experiment.tune


def lengths_of(experiment: Experiment) -> Lengths:
    """How long its trials are, in images, and when they are looked at."""
    return tune_of(experiment).lengths(experiment.train.images, experiment.train.batch)


def looks_in_all(experiment: Experiment) -> int:
    """Looks of a trial at full length."""
    lengths = lengths_of(experiment)
    return -(-lengths.images // lengths.look_every)


def exchange_looks(experiment: Experiment) -> int:
    """Looks from one exchange between trials of a population to the next."""
    lengths = lengths_of(experiment)
    return max(1, lengths.perturb_every // lengths.look_every)


def looks_at(experiment: Experiment, position: int) -> int:
    """How many looks a trial has had at a position, one at least: positions of searched batch sizes differ a little."""
    lengths = lengths_of(experiment)
    return looks_in_all(experiment) if position >= lengths.images else max(1, position // lengths.look_every)


def trial_experiment(experiment: Experiment, params: Mapping[str, Any], seed: int) -> Experiment:
    """What one trial trains: as the experiment, with these values, a trial's length, and looks at its cadence.

    What is not among the values is the experiment's own.  ConfigError for values that do not go together.
    """
    tune, lengths = tune_of(experiment), lengths_of(experiment)
    chosen = with_values(experiment, params, images=lengths.images, seed=seed).as_json()
    chosen["train"] |= {
        "workers": tune.workers, "fd_samples": tune.look_samples, "keep_every": None,
        "keep_checkpoints": _kept(experiment),
        **dict.fromkeys(("fd_every", "sample_every", "checkpoint_every", "report_every"), lengths.look_every),
    }
    return experiment_from(chosen)


def _kept(experiment: Experiment) -> int:
    """Checkpoints of a trial.

    Of a population, all since the last exchange: whoever takes over may have its turn as late as that.  Several workers
    may be beyond the next exchange before they have stopped for it: all of theirs are kept.
    """
    tune = tune_of(experiment)
    if tune.scheduler != "pbt":
        return KEPT
    return 1 + (exchange_looks(experiment) if tune.workers == 1 else looks_in_all(experiment))


def checkpoint_key(trial: Experiment, shards: str) -> str:
    """What a trial's checkpoints belong to.  shards: their digest."""
    return canonical_digest({"seed": trial.seed, "model": key_fields(trial.model), "train": key_fields(trial.train),
                             "shards": shards})
