"""Schedules and cadences as functions of images seen."""

from __future__ import annotations


def crossed(position: int, *, step: int, every: int) -> bool:
    """Whether the step that ended at `position` passed a multiple of `every`."""
    return position // every > (position - step) // every


def ema_decay(batch: int, half_life: float) -> float:
    """The share of an average that one step of `batch` images leaves: 0.5 after `half_life` images.

    0 when there is no half-life: the average is then the network itself.
    """
    return float(0.5 ** (batch / half_life)) if half_life else 0.0
