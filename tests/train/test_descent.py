from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
import torch
from torch import nn

from gan_core.options.optimizers import Adam, AdamW, Fall, RmsProp, Sgd
from gan_core.options.optimizers import Optimizer as Settings
from gan_core.recipes.recipe import Phase
from gan_core.train.descent import optimizer_of, scale_learning_rate, set_learning_rate, share_left

FALLS: dict[str, Settings] = {
    "adam": Adam(learning_rate=0.1, betas=(0.5, 0.9), fall=Fall(after=100, until=300)),
    "adamw": AdamW(algorithm="adamw", learning_rate=0.1, fall=Fall(after=100, until=300)),
    "rmsprop": RmsProp(algorithm="rmsprop", learning_rate=0.1, fall=Fall(after=100, until=300)),
    "sgd": Sgd(algorithm="sgd", learning_rate=0.1, momentum=0.9, fall=Fall(after=100, until=300)),
}


def made(settings: Settings, *every: int) -> torch.optim.Optimizer:
    """The optimizer of a phase that others share, each so often."""
    network = nn.Linear(3, 2)
    own = Phase("d", ("d",), settings)
    phases = (own, *(Phase(f"lazy {n}", ("d",), settings, every=n, shares="d") for n in every),
              Phase("g", ("g",), settings, every=5))
    return optimizer_of(own, phases, {"d": network, "g": nn.Linear(1, 1)})


def rate(optimizer: torch.optim.Optimizer) -> float:
    (group,) = optimizer.param_groups
    return float(group["lr"])


@pytest.mark.parametrize(("settings", "kind", "wanted"), [
    (Adam(learning_rate=1e-3, betas=(0.5, 0.9), weight_decay=0.1), torch.optim.Adam,
     {"lr": 1e-3, "betas": (0.5, 0.9), "weight_decay": 0.1, "eps": 1e-8}),
    (Adam(), torch.optim.Adam, {"lr": 2e-4, "betas": (0.0, 0.99), "weight_decay": 0}),
    (AdamW(algorithm="adamw", betas=(0.5, 0.9)), torch.optim.AdamW,
     {"lr": 2e-4, "betas": (0.5, 0.9), "weight_decay": 0.01}),
    (RmsProp(algorithm="rmsprop", alpha=0.9, weight_decay=0.1), torch.optim.RMSprop,
     {"lr": 5e-5, "alpha": 0.9, "weight_decay": 0.1, "momentum": 0}),
    (Sgd(algorithm="sgd", momentum=0.5, weight_decay=0.1), torch.optim.SGD,
     {"lr": 1e-2, "momentum": 0.5, "weight_decay": 0.1, "nesterov": False}),
])
def test_the_optimizer_is_the_one_that_the_settings_name(
    settings: Settings, kind: type, wanted: dict[str, Any]
) -> None:
    optimizer = made(settings)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert {name: group[name] for name in wanted} == wanted
    assert [weight.shape for weight in group["params"]] == [(2, 3), (2,)]


def test_adamw_s_decay_is_beside_the_gradient_and_the_others_in_it() -> None:
    """Without a gradient, AdamW shrinks a weight by a share of the learning rate, and Adam steps by all of it."""
    found = []
    for settings in (AdamW(algorithm="adamw", learning_rate=0.1, weight_decay=0.5),
                     Adam(learning_rate=0.1, weight_decay=0.5)):
        optimizer = made(settings)
        weight = optimizer.param_groups[0]["params"][0]
        with torch.no_grad():
            weight.fill_(1)
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
        found.append(weight[0, 0].item())
    assert found == pytest.approx([0.95, 0.9])


@pytest.mark.parametrize(("every", "longer"), [((4,), 1.25), ((16,), 1 + 1 / 16), ((4, 2), 1.75)])
def test_phases_that_share_an_optimizer_go_as_far_together_as_one_would_alone(
    every: tuple[int, ...], longer: float
) -> None:
    """In the time of one step that it takes alone, it takes `longer` ones."""
    for name, settings in FALLS.items():
        (alone,), (shared,) = made(settings).param_groups, made(settings, *every).param_groups
        assert shared["lr"] * longer == pytest.approx(alone["lr"]), name
        for decay in ("alpha", "momentum"):
            if alone.get(decay):
                assert shared[decay] ** longer == pytest.approx(alone[decay]), name
        for ours, theirs in zip(shared.get("betas", ()), alone.get("betas", ()), strict=True):
            assert ours**longer == pytest.approx(theirs), name
        assert shared["weight_decay"] == alone["weight_decay"]


def test_no_momentum_and_no_first_moment_stay_none_where_an_optimizer_is_shared() -> None:
    assert made(Sgd(algorithm="sgd"), 4).param_groups[0]["momentum"] == 0
    assert made(Adam(betas=(0.0, 0.99)), 4).param_groups[0]["betas"][0] == 0


@pytest.mark.parametrize(("shape", "position", "share"), [
    ("linear", 0, 1), ("linear", 100, 1), ("linear", 150, 0.775), ("linear", 200, 0.55), ("linear", 300, 0.1),
    ("linear", 10_000, 0.1),
    ("cosine", 0, 1), ("cosine", 100, 1), ("cosine", 150, 0.1 + 0.9 * (2 + sqrt(2)) / 4), ("cosine", 200, 0.55),
    ("cosine", 300, 0.1), ("cosine", 10_000, 0.1),
])
def test_a_learning_rate_falls_between_two_positions(shape: Any, position: int, share: float) -> None:
    fall = Fall(shape=shape, after=100, until=300, to=0.1)
    assert share_left(fall, position) == pytest.approx(share)
    optimizer = made(Adam(learning_rate=0.1))
    set_learning_rate(optimizer, fall, position)
    assert rate(optimizer) == pytest.approx(0.1 * share)


def test_a_fall_is_of_the_position_and_not_of_how_often_it_was_asked() -> None:
    fall, optimizer = Fall(until=100), made(Adam(learning_rate=0.1))
    for position in (90, 90, 50, 50):
        set_learning_rate(optimizer, fall, position)
    assert rate(optimizer) == pytest.approx(0.05)


def test_without_a_fall_it_stays() -> None:
    optimizer = made(Adam(learning_rate=0.1))
    scale_learning_rate(optimizer, 0.5)
    set_learning_rate(optimizer, None, 10_000)
    assert rate(optimizer) == pytest.approx(0.05)


@pytest.mark.parametrize("name", FALLS)
def test_what_a_roll_back_left_of_it_falls_on_and_outlives_a_checkpoint(name: str) -> None:
    settings = FALLS[name]
    optimizer = made(settings, 4)
    begun = rate(optimizer)
    set_learning_rate(optimizer, settings.fall, 150)
    scale_learning_rate(optimizer, 0.5)
    assert rate(optimizer) == pytest.approx(begun * 0.75 * 0.5)
    restored = made(settings, 4)
    restored.load_state_dict(optimizer.state_dict())
    for one in (optimizer, restored):
        set_learning_rate(one, settings.fall, 200)
        assert rate(one) == pytest.approx(begun * 0.5 * 0.5)
        scale_learning_rate(one, 0.5)
        set_learning_rate(one, settings.fall, 100)
        assert rate(one) == pytest.approx(begun * 0.25)
