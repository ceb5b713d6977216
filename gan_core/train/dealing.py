"""Whether a batch can be dealt to so many workers and parts, and what that does to a norm over it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_core.config import Elastic, Experiment
from gan_core.errors import ConfigError

FEWEST_NORMALISED = 16  # images; the mean of fewer is mostly chance


def refuse_uneven(experiment: Experiment, world: int) -> None:
    """ConfigError when a fixed number of workers does not divide the batch, or an elastic one leaves some without."""
    train = experiment.train
    if isinstance(train.workers, Elastic):
        if world * train.accumulate > train.batch:
            raise ConfigError(f"train.batch={train.batch} has too few images for {world} workers and "
                              f"train.accumulate={train.accumulate}; train.batch={world * train.accumulate} works")
    elif train.batch % world:
        raise ConfigError(f"train.batch={train.batch} does not split over {world} workers; "
                          f"train.batch={-(-train.batch // world) * world} does")


def norms_over_parts(experiment: Experiment, networks: Mapping[str, nn.Module]) -> str:
    """What to tell of a norm over the batch that sees only parts of it; empty when there is nothing to tell.

    ConfigError when the parts are so small that their statistics would mislead.
    """
    train = experiment.train
    found = [name for name, network in networks.items() if any(isinstance(m, _BatchNorm) for m in network.modules())]
    if train.accumulate == 1 or not found:
        return ""
    part = train.batch // train.accumulate
    if part < FEWEST_NORMALISED:
        works = max(1, train.batch // FEWEST_NORMALISED)
        raise ConfigError(f"train.accumulate={train.accumulate}: the batch norm of {' and '.join(found)} would see "
                          f"{part} images at a time, and the mean of so few is mostly chance; "
                          f"train.accumulate={works} works, or a norm that does not look across examples")
    return (f"train.accumulate={train.accumulate}: the batch norm of {' and '.join(found)} is over {part} images at a "
            f"time, not {train.batch}; steps differ from those of train.accumulate=1")
