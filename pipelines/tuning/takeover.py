"""Population-based training: a trial goes on with another's weights and moments, and with settings of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from gan_core.config import Experiment
from gan_core.data.shards import Shards
from gan_core.errors import WorkersFailed
from gan_core.manifest import artefact
from gan_core.recipes.recipe import build_recipe, data_of
from gan_core.store import Store
from gan_core.train.checkpoint import STATE, RunPlace, checkpoint_name, position_of, save_state
from gan_core.train.state import TrainState
from pipelines.tuning.records import Change, Trial, read_trial, run_prefix, trial_prefix, write
from pipelines.tuning.settings import checkpoint_key, trial_experiment

BEFORE_ALL = 0  # the attempt of a checkpoint that no start of the run made
WAIT_S = 60.0  # for a donor's first whole checkpoint
LOOK_S = 0.2


def take_over(
    store: Store, search: str, searched: Experiment, shards: Shards, digest: str, trial: Trial,
    config: Mapping[str, Any],
) -> None:
    """Gives a trial its next run, which begins where the donor was at the exchange, and drops its looks beyond that.

    The state is the donor's but for what the settings say of the optimizers: learning rates, decays, momenta.
    digest: of the shards.  config: Tune's, with "params", the donor's number and "position".  WorkersFailed when the
    donor has no checkpoint for a minute.
    """
    donor = read_trial(store, trial_prefix(search, config["donor"]))
    assert donor is not None
    name, state, facts = _checkpoint(store, searched, digest, donor, config["position"])
    experiment = trial_experiment(searched, config["params"], trial.settings.seed)
    recipe = build_recipe(experiment, data_of(experiment, shards))
    fresh = TrainState.fresh(recipe, experiment.seed, torch.device("cpu"))
    for phase, optimizer in fresh.optimizers.items():
        state["optimizers"][phase]["param_groups"] = optimizer.state_dict()["param_groups"]
    position, changes = position_of(name), len(trial.changes) + 1
    place = RunPlace(store, run_prefix(trial.prefix, changes), checkpoint_key(experiment, digest))
    at = place.checkpoint(checkpoint_name(position, BEFORE_ALL))
    with artefact(store, at, kind="checkpoint", key=place.key) as draft:
        save_state({**state, "rollbacks": []}, draft.path / STATE)
        draft.facts.update({**facts, "attempt": BEFORE_ALL})
    for look in trial.looks:
        if look.position > position:
            store.delete(f"{trial.prefix}/looks/{look.position:012d}.json")
    change = Change(position=position, donor=donor.number, params=config["params"])
    write(store, f"{trial.prefix}/changes/{changes:04d}.json", change)


def _checkpoint(
    store: Store, searched: Experiment, digest: str, donor: Trial, position: int
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Name, state and facts of the donor's first whole checkpoint at a position or, where that is gone, beyond it."""
    key = checkpoint_key(trial_experiment(searched, donor.params, donor.settings.seed), digest)
    place, deadline = RunPlace(store, donor.run_prefix, key), time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        for name in place.whole():  # one that was listed may have given way to newer ones
            manifest = place.manifest(name) if position_of(name) >= position else None
            state = place.load(name) if manifest else None
            if manifest and state:
                return name, state, dict(manifest.facts)
        time.sleep(LOOK_S)
    raise WorkersFailed(f"trial {donor.number} has no checkpoint in {store.uri(donor.run_prefix)} to go on from")
