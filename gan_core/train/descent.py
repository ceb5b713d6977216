"""Optimizers: what the settings name, and the learning rate as a function of images seen."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_core.options.optimizers import Adam, AdamW, Fall, RmsProp, Sgd
from gan_core.recipes.recipe import Phase

BEGUN_AT = "initial_lr"  # the name under which torch's own schedulers keep it


def optimizer_of(phase: Phase, phases: tuple[Phase, ...], networks: Mapping[str, nn.Module]) -> Optimizer:
    """The optimizer of a phase and of those that share it.

    In the time of one of the phase's steps it takes 1 + Σ 1 / every: with learning rate and decays to the power of
    1 / that, both together move as far and remember as long as the phase alone would (Karras et al. 2020).
    """
    weights: list[Tensor] = [weight for name in phase.networks for weight in networks[name].parameters()]
    root = 1 / (1 + sum(1 / other.every for other in phases if other.shares == phase.name))
    made = _made(phase, weights, root)
    for group in made.param_groups:
        group[BEGUN_AT] = group["lr"]
    return made


def _made(phase: Phase, weights: list[Tensor], root: float) -> Optimizer:
    settings = phase.optimizer
    rate, decay = settings.learning_rate * root, settings.weight_decay
    match settings:
        case Adam(betas=(beta1, beta2)):
            return torch.optim.Adam(weights, rate, (beta1**root, beta2**root), weight_decay=decay, fused=True)
        case AdamW(betas=(beta1, beta2)):
            return torch.optim.AdamW(weights, rate, (beta1**root, beta2**root), weight_decay=decay, fused=True)
        case RmsProp(alpha=alpha):
            return torch.optim.RMSprop(weights, rate, alpha**root, weight_decay=decay)
        case Sgd(momentum=momentum):
            return torch.optim.SGD(weights, rate, momentum**root if momentum else 0.0, weight_decay=decay, fused=True)
    raise AssertionError(settings)


def set_learning_rate(optimizer: Optimizer, fall: Fall | None, position: int) -> None:
    """The learning rate of the step that begins at `position`."""
    if fall is not None:
        for group in optimizer.param_groups:
            group["lr"] = group[BEGUN_AT] * share_left(fall, position)


def scale_learning_rate(optimizer: Optimizer, factor: float) -> None:
    """Multiplies it from here on; the optimizer's state keeps it."""
    for group in optimizer.param_groups:
        group["lr"] *= factor
        group[BEGUN_AT] *= factor


def share_left(fall: Fall, position: int) -> float:
    """What a learning rate is multiplied by after so many images: from 1 to `fall.to`."""
    way = min(1.0, max(0.0, (position - fall.after) / (fall.until - fall.after)))
    gone = way if fall.shape == "linear" else (1 - math.cos(math.pi * way)) / 2
    return 1 - gone * (1 - fall.to)
