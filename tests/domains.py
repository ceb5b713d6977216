"""Two unpaired domains that are at hand everywhere: digits in white on black, and turned ones in black on white."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gan_core.config import Experiment, experiment_from
from gan_core.data.source import SPLITS, Example
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_experiment
from gan_core.store import Store

PREFIX = "shards/digits"
CYCLEGAN = {"recipe": "cyclegan", "pool": 16}


def write_negatives(file: Path) -> str:
    """An .npz of the digits, turned by 90° and inverted, in their splits and with their labels."""
    arrays: dict[str, Any] = {}
    for split in SPLITS:
        examples = [example for example in Digits().examples(split) if isinstance(example, Example)]
        images = np.stack([example.image for example in examples if example.image is not None])
        arrays[f"{split}_images"] = 255 - np.rot90(images, axes=(1, 2))
        arrays[f"{split}_labels"] = np.array([example.label for example in examples])
    np.savez(file, **arrays)
    return str(file)


def translation(negatives: str, *, size: int = 8, model: dict[str, Any] | None = None, **blocks: Any) -> Experiment:
    """A tiny CycleGAN, or another recipe, between digits and their negatives; `blocks` in place of the experiment's."""
    raw: dict[str, Any] = {
        "name": "negatives",
        "data": {"source": "two_domains", "names": ["light", "dark"], "a": {"source": "digits"},
                 "b": {"source": "npz", "url": negatives}},
        "model": {"width": 4, "blocks": 1, **(CYCLEGAN if "recipe" not in (model or {}) else {}), **(model or {})},
        "train": {"images": 512, "batch": 64, "checkpoint_every": 128, "report_every": 64, "sample_every": 256},
    }
    if size != 8:
        raw["prepare"] = {"transforms": [{"resize": size}]}
    return experiment_from(raw | blocks)


def written(experiment: Experiment, folder: Path) -> Store:
    """A store with the experiment's shards."""
    store = Store(folder)
    write_experiment(experiment, store, PREFIX, key="domains")
    return store
