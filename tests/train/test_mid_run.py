"""What population-based training relies on: a trial goes on from another's checkpoint with other values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from gan_core.config import Experiment
from gan_core.options.searched import may_change_mid_run
from gan_core.recipes.recipe import DataSpec, build_recipe
from gan_core.search_space import with_values
from gan_core.train.state import TrainState
from tests.train.runs import equal

CPU = torch.device("cpu")
PENALISED: dict[str, Any] = {
    "recipe": "dcgan", "width": 8,
    "penalties": {"clip": 0.1, "gradient": {}, "dragan": {}, "zero_centred": {}, "r1": {}, "r2": {"every": 4},
                  "consistency": {}, "generator_weights": {"l1": 1e-6}, "discriminator_weights": {"orthogonal": 1e-4}},
    "targets": {"smooth_real": 0.1, "smooth_fake": 0.1, "flipped": 0.1}, "instance_noise": {"until": 256},
    "augment": {"method": "ada"}, "wrong_labels": 0.1, "generator": {"dropout": 0.1}, "discriminator": {"dropout": 0.1},
    "generator_optimizer": {"algorithm": "rmsprop", "fall": {"after": 64, "until": 256}},
    "discriminator_optimizer": {"algorithm": "sgd", "momentum": 0.9},
}


def others(block: dict[str, Any], prefix: str) -> dict[str, Any]:
    """By dotted name, another value for each that may change in the middle of a run."""
    found: dict[str, Any] = {}
    for name, value in block.items():
        path = f"{prefix}.{name}"
        if isinstance(value, dict):
            found |= others(value, path)
        elif may_change_mid_run(path) and value is not None:
            found[path] = [0.4, 0.8] if isinstance(value, list) else value + 1 if isinstance(value, int) else value / 2
    return found


@pytest.mark.parametrize(("model", "data", "least"), [
    (PENALISED, DataSpec((1, 8, 8), 10), 30),
    ({"recipe": "cyclegan", "width": 8, "blocks": 1}, DataSpec((1, 8, 8), 2, domains="unpaired"), 8),
    ({"recipe": "mocogan", "width": 8}, DataSpec((4, 1, 8, 8), 10, "video"), 7),
], ids=["images", "translations", "clips"])
def test_a_checkpoint_fits_a_trial_with_every_value_changed_that_may_change(
    experiment: Callable[..., Experiment], model: dict[str, Any], data: DataSpec, least: int
) -> None:
    donor = with_values(experiment(), {"model": model})
    values = others(donor.as_json()["model"], "model")
    assert len(values) >= least
    heir = with_values(donor, values)
    states = [TrainState.fresh(build_recipe(one, data), seed, CPU) for seed, one in enumerate((donor, heir))]
    states[1].restore(states[0].snapshot())
    assert equal(*(state.snapshot()["networks"] for state in states))
