"""Clips that are at hand everywhere: digits that move, in four frames of 12 by 12."""

from __future__ import annotations

from typing import Any

from gan_core.config import Experiment, experiment_from


def of_clips(*, model: dict[str, Any] | None = None, **blocks: Any) -> Experiment:
    """A tiny MoCoGAN of moving digits; `blocks` in place of those of the experiment."""
    raw: dict[str, Any] = {
        "name": "moving",
        "data": {"source": "moving_digits", "frames": 4, "size": 12},
        "model": {"recipe": "mocogan", "width": 4, "content": 6, "motion": 4, **(model or {})},
        "train": {"images": 512, "batch": 64, "checkpoint_every": 128, "report_every": 64, "sample_every": 256},
    }
    return experiment_from(raw | blocks)
