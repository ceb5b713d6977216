"""Tune's schedulers, as a `tune:` block asks for them.  They count looks, of which a trial tells one at a time."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.schedulers.pbt import _PBTTrialState

from gan_core.config import Experiment
from pipelines.tuning.mutations import explored, mutations
from pipelines.tuning.settings import LOOKS, POSITION, exchange_looks, lengths_of, looks_in_all, tune_of


def scheduler_of(experiment: Experiment) -> TrialScheduler:
    """The one that its block names."""
    block, lengths, most = tune_of(experiment), lengths_of(experiment), looks_in_all(experiment)
    match block.scheduler:
        case "asha":
            grace = -(-lengths.grace // lengths.look_every)
            return ASHAScheduler(
                max_t=most, grace_period=min(grace, most), reduction_factor=block.reduction, time_attr=LOOKS)
        case "hyperband":
            return HyperBandScheduler(max_t=most, reduction_factor=block.reduction, time_attr=LOOKS)
        case "pbt":
            random.seed(block.seed)  # Tune's draws whom to take over and what to change from these
            np.random.seed(block.seed)
            return Exchanging(
                perturbation_interval=exchange_looks(experiment),
                hyperparam_mutations={"params": mutations(block)},
                custom_explore_fn=lambda config: explored(block, config), log_config=False, time_attr=LOOKS,
                synch=True,  # a population larger than the cluster takes turns, and is compared at equal lengths
            )
    return FIFOScheduler()


class Exchanging(PopulationBasedTraining):
    """Population-based training over checkpoints that are in our store.

    Tune hands a trial the donor's checkpoint as a folder that it keeps itself; our trials fetch it by the donor's
    number, so that nothing of Tune's own needs a place that all machines reach.
    """

    def on_trial_add(self, tune_controller: TuneController, trial: TuneTrial) -> None:
        """Ray's own refuses every searcher, as one that models the values would be misled; ours draws at random."""
        self._trial_state[trial] = _PBTTrialState(trial)

    def _checkpoint_or_exploit(
        self, trial: TuneTrial, tune_controller: TuneController, upper_quantile: list[TuneTrial],
        lower_quantile: list[TuneTrial],
    ) -> None:
        if trial in lower_quantile:
            self._exploit(tune_controller, trial, random.choice(upper_quantile))

    def _exploit(self, tune_controller: TuneController, trial: TuneTrial, trial_to_clone: TuneTrial) -> None:
        ours, theirs = self._trial_state[trial], self._trial_state[trial_to_clone]
        drawn, _ = self._get_new_config(trial, trial_to_clone)
        if trial.status != TuneTrial.PAUSED:
            tune_controller.pause_trial(trial, should_checkpoint=False)
        own: dict[str, Any] = trial.config
        assert theirs.last_result is not None  # of the exchange
        trial.set_config({"at": own["at"], "number": own["number"], "changes": own["changes"] + 1,
                          "donor": trial_to_clone.config["number"], "position": theirs.last_result[POSITION],
                          "params": drawn["params"]})
        self._num_perturbations += 1
        ours.last_perturbation_time = theirs.last_perturbation_time
        ours.last_train_time = theirs.last_train_time
