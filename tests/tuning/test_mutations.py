"""How population-based training changes values: within their range, and whole numbers stay whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ray.tune.schedulers.pbt import _explore

from gan_core.options.tune import TuneConfig
from pipelines.tuning.mutations import explored, mutations
from tests.tuning.trials import Make, searched

FLIP, UNTIL, RATE, NOISE, BETAS = (
    "train.augment.shift", "model.instance_noise.until", "model.generator_optimizer.learning_rate",
    "model.instance_noise.std", "model.generator_optimizer.betas")
SPACE: dict[str, Any] = {FLIP: "randint(1, 3)", UNTIL: "lograndint(100, 130)", RATE: "loguniform(1e-4, 1.1e-4)",
                         NOISE: "uniform(0.9, 1)", BETAS: {"choice": [[0.0, 0.9], [0.5, 0.9], [0.5, 0.999]]}}
OUT = {FLIP: 0, UNTIL: 156, RATE: 1.2e-4, NOISE: 0.72, BETAS: [0.5, 0.9]}


@pytest.fixture
def block(experiment: Make) -> TuneConfig:
    made = searched(experiment, {"space": SPACE}).tune
    assert made is not None
    return made


def test_values_out_of_their_range_come_back_to_its_end(block: TuneConfig) -> None:
    config = explored(block, {"at": "x", "params": OUT})
    assert config == {"at": "x", "params": {FLIP: 1, UNTIL: 130, RATE: 1.1e-4, NOISE: 0.9, BETAS: [0.5, 0.9]}}


def test_values_in_their_range_stay(block: TuneConfig) -> None:
    params = {FLIP: 2, UNTIL: 100, RATE: 1e-4, NOISE: 0.95, BETAS: [0.0, 0.9]}
    assert explored(block, {"params": params}) == {"params": params}


@pytest.mark.parametrize("anew", [0.0, 1.0], ids=["moved", "drawn anew"])
def test_what_tune_makes_of_values_can_be_trained_with(block: TuneConfig, anew: float) -> None:
    np.random.seed(0)
    factors: Any = (1.2, 0.8)
    params = {FLIP: 2, UNTIL: 110, RATE: 1.05e-4, NOISE: 0.95, BETAS: [0.5, 0.9]}
    seen: set[str] = set()
    for _ in range(40):
        config, _ = _explore({"params": params}, {"params": mutations(block)}, anew, factors,
                             lambda config: explored(block, config))
        params = config["params"]
        assert params.keys() == SPACE.keys()
        for name, drawn in block.space.items():
            if drawn.kind == "choice":
                assert params[name] in drawn.choices
                continue
            low, high = drawn.ends
            assert low <= params[name] <= high
            assert isinstance(params[name], int) == drawn.whole
        seen.add(str(params))
    assert len(seen) > 5
