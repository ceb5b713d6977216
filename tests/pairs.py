"""Pairs that are at hand everywhere: digits, and the same with sides half as long."""

from __future__ import annotations

from typing import Any

from gan_core.config import Experiment, experiment_from


def pairs(model: dict[str, Any] | None = None, pair: str = "small", **blocks: Any) -> Experiment:
    """A tiny pix2pix that makes digits from what `pair` makes of them; `blocks` in place of the experiment's."""
    raw: dict[str, Any] = {
        "name": "pairs",
        "data": {"source": "digits"},
        "prepare": {"transforms": [{"pair": pair, "parts": 2}]},
        "model": {"recipe": "pix2pix", "width": 8, **(model or {})},
        "train": {"images": 512, "batch": 64, "checkpoint_every": 128, "report_every": 64, "sample_every": 256},
    }
    return experiment_from(raw | blocks)
