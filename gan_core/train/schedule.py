"""Schedules and cadences as functions of images seen."""

from __future__ import annotations


def crossed(position: int, *, step: int, every: int) -> bool:
    """Whether the step that ended at `position` passed a multiple of `every`."""
    return position // every > (position - step) // every


def ema_decay(batch: int, half_life: float, position: int = 0, ramp_up: float | None = None) -> float:
    """The share of an average that one step of `batch` images leaves: 0.5 after `half_life` images.

    0 when there is no half-life: the average is then the network itself.  With `ramp_up` the half-life is at most that
    share of the images seen, so that the fresh weights are soon forgotten (Karras et al. 2020, arXiv:1912.04958).
    """
    if ramp_up is not None:
        half_life = min(half_life, ramp_up * position)
    return float(0.5 ** (batch / half_life)) if half_life else 0.0
