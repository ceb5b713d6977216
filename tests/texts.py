"""Small sets of texts, and experiments that learn them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gan_core.config import Experiment, experiment_from
from gan_core.data.source import source_of
from gan_core.data.write import write_shards
from gan_core.store import Store

PREFIX = "shards/texts"
SYLLABLES = {"Dark": ("bdg", "ou"), "Light": ("kpt", "ei")}
SMALL: dict[str, dict[str, Any]] = {
    "text_wgan_gp": {"width": 16, "blocks": 1, "latent": 8, "critic_steps": 2,
                     "generator_optimizer": {"learning_rate": 2e-3, "betas": [0.5, 0.9]},
                     "critic_optimizer": {"learning_rate": 2e-3, "betas": [0.5, 0.9]}},
    "text_gumbel": {"width": 32, "latent": 8, "temperature": {"start": 1.0, "end": 0.5, "until": 4096},
                    "generator_optimizer": {"learning_rate": 5e-3, "betas": [0.5, 0.9]},
                    "discriminator_optimizer": {"learning_rate": 5e-3, "betas": [0.5, 0.9]}},
}
RECIPES = tuple(SMALL)


def write_words(folder: Path, each: int = 400) -> Path:
    """A file a class, of words of two or three syllables that no other class has."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    for name, (consonants, vowels) in SYLLABLES.items():
        words = ["".join(draw.choice([*consonants]) + draw.choice([*vowels]) for _ in range(draw.integers(2, 4)))
                 for _ in range(each)]
        (folder / f"{name}.txt").write_text("\n".join(words) + "\n")
    return folder


def of_texts(url: Path, recipe: str, **blocks: Any) -> Experiment:
    """A small experiment on the lines of files, with these blocks' settings instead of its own."""
    own: dict[str, Any] = {
        "name": "texts", "data": {"source": "text_lines", "url": str(url)},
        "model": {"recipe": recipe, **SMALL[recipe]},
        "train": {"images": 384, "batch": 32, "checkpoint_every": 64, "report_every": 32, "ema_half_life": 100},
    }
    return experiment_from({**own, **{name: {**own.get(name, {}), **block} for name, block in blocks.items()}})


def written(experiment: Experiment, folder: Path) -> Store:
    """A store with the data as shards."""
    store = Store(folder)
    write_shards(source_of(experiment), store, PREFIX, shard_examples=4096, key="texts")
    return store
