"""A run that needs more memory than its device has, refused before its first step, with settings that fit."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import NamedTuple

import torch

from gan_core.config import Experiment, experiment_from, with_overrides
from gan_core.errors import ConfigError
from gan_core.recipes.recipe import DataSpec
from gan_core.train.cost import Uncountable, count, most_rows, networks_of
from gan_core.train.dealing import norms_over_parts
from gan_core.train.distributed import Workers
from gan_core.train.memory import available
from gan_core.train.switches import Switches

BESIDE = 1.1  # of what is counted: allocators keep freed memory, and convolutions have room to work in
MOST_MAPS = 500  # as large as the images and as wide as `width`; R3GAN with R1 and R2 in one step has 115
BYTES_PER_PARAMETER = 64  # weight, gradient, two moments, average and a copy take 24


def refuse_what_does_not_fit(experiment: Experiment, data: DataSpec, switches: Switches, workers: Workers) -> str:
    """ConfigError, naming what works, when the counted step needs more memory than is left here.

    To be called on every worker, before anything is put on the device.  Returns what to tell of a step that cannot be
    counted; empty otherwise.  Counts only where a crude bound is above half the memory of any worker.
    """
    left = available(workers.device)
    unsure = left is not None and at_most(experiment, data, workers.world) > left / 2
    if not workers.largest(torch.tensor([float(unsure)], device=workers.device)).item():
        return ""
    note, needed = "", 0
    if workers.lead:
        try:
            needed = bytes_needed(experiment, data, switches, workers.world, workers.device)
        except Uncountable as error:
            note = f"{error}; whether it fits the memory is seen when it runs"
    needed = workers.told_by_lead(needed)
    if left is not None and needed > left:
        raise ConfigError(too_large(experiment, data, switches, workers.world, workers.device, needed, left))
    return note


def bytes_needed(experiment: Experiment, data: DataSpec, switches: Switches, world: int, device: torch.device) -> int:
    """Of a worker's memory, with what is in use beside what is counted.  Uncountable; ConfigError."""
    return int(BESIDE * count(experiment, data, switches, world=world, device=device).peak)


def at_most(experiment: Experiment, data: DataSpec, world: int) -> float:
    """Bytes that a step does not pass, found without counting it; infinite where nothing is known of its size."""
    width = getattr(experiment.model, "width", None)
    try:
        networks = networks_of(experiment, data)
    except Uncountable:
        networks = {}
    if width is None or not networks:
        return float("inf")
    parameters = sum(weight.numel() for network in networks.values() for weight in network.parameters())
    channels, *sides = data.shape
    rows = -(-most_rows(experiment.train.batch, world) // experiment.train.accumulate)
    widest: int = rows * max(width, channels) * prod(sides)
    return BYTES_PER_PARAMETER * parameters + MOST_MAPS * 4 * widest


def too_large(
    experiment: Experiment, data: DataSpec, switches: Switches, world: int, device: torch.device, needed: int, left: int
) -> str:
    """One line: what does not fit, and settings of which each was counted and fits."""
    works = " or ".join(f"{' and '.join(fit.settings)} works ({in_words(fit.needed)})"
                        for fit in _that_fit(experiment, data, switches, world, device, left))
    width = f", model.width={experiment.model.width}" if hasattr(experiment.model, "width") else ""
    each, for_each = (f" on each of {world} workers", " for each") if world > 1 else ("", "")
    here = "GPU" if device.type == "cuda" else "host"
    return (f"train.batch={experiment.train.batch} images of {'x'.join(map(str, data.shape))}{width}: a step needs "
            f"{in_words(needed)}{each}, counted beforehand, and this {here} has {in_words(left)} left{for_each}; "
            + (works or "smaller images work, or more workers on other machines"))


class Fit(NamedTuple):
    """Settings, of the form a.b=c, that fit, and the bytes that they need."""

    settings: list[str]
    needed: int


def _that_fit(
    experiment: Experiment, data: DataSpec, switches: Switches, world: int, device: torch.device, left: int
) -> list[Fit]:
    """The least change of each kind that fits: more parts, checkpointing, narrower networks; both if neither does."""

    def first(changes: Iterable[list[str]]) -> list[Fit]:
        for change in changes:
            changed = _changed(experiment, data, change)
            if changed is not None:
                needed = bytes_needed(changed, data, switches, world, device)
                if needed <= left:
                    return [Fit(change, needed)]
        return []

    rows, width = most_rows(experiment.train.batch, world), getattr(experiment.model, "width", 1)
    cost = count(experiment, data, switches, world=world, device=device)
    parts = [[f"train.accumulate={number * experiment.train.accumulate}"] for number in _doubled(rows)
             if BESIDE * (cost.kept + (cost.peak - cost.kept) / number) <= left]  # no part takes less
    again = [f"model.{network}.checkpointing=true" for network in ("generator", "discriminator")
             if getattr(getattr(experiment.model, network, None), "checkpointing", None) is False]
    found = [*first(parts), *(first([again]) if again else [])]
    if again and not found:
        found = first([*again, *part] for part in parts)
    return [*found, *first([f"model.width={width // by}"] for by in _doubled(width))]


def _doubled(most: int) -> list[int]:
    """2, 4, 8 …"""
    return [2**power for power in range(1, most.bit_length()) if 2**power <= most]


def _changed(experiment: Experiment, data: DataSpec, settings: list[str]) -> Experiment | None:
    """The experiment with these settings; None where they cannot work."""
    try:
        changed = experiment_from(with_overrides(experiment.as_json(), settings))
        norms_over_parts(changed, networks_of(changed, data))
    except ConfigError:
        return None
    return changed


def in_words(size: int) -> str:
    """12.3 GiB, or 345 MiB."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"
