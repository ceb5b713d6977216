"""A small f-AnoGAN of one digit, prepared, trained and published, for the tests of what scores with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gan_core.config import Experiment, experiment_from
from gan_core.data.shards import Shards, open_shards
from gan_core.data.write import write_experiment
from gan_core.store import Store
from gan_core.train.loop import fit
from pipelines.handles import Shards as ShardsHandle
from pipelines.handles import Trained
from pipelines.stages.evaluate import evaluate
from tests.artefacts import a_parent, publish_as
from tests.train.runs import RUN, Scripted, place

PREFIX, SCORES = "shards/normal", "scores/normal"
NORMAL = 2
BEGUN, LEARNT = 64, 2560  # images


def one_digit(images: int = LEARNT, **blocks: Any) -> Experiment:
    """`blocks` in place of those of the experiment."""
    optimizer = {"learning_rate": 2e-3, "betas": [0.5, 0.9]}
    return experiment_from({
        "name": "normal", "data": {"source": "digits"}, "prepare": {"normal": [NORMAL]},
        "model": {"recipe": "fanogan", "width": 8, "latent": 8, "critic_steps": 1, "generator_optimizer": optimizer,
                  "discriminator_optimizer": optimizer, "encoder_optimizer": {"learning_rate": 3e-3}},
        "train": {"images": images, "batch": 64, "ema_half_life": 300, "report_every": 640}, **blocks,
    })


def prepared(experiment: Experiment, folder: Path) -> Store:
    """A store with the experiment's shards."""
    store = Store(folder)
    write_experiment(experiment, store, PREFIX, key="normal")
    return store


def data_in(store: Store) -> Shards:
    return open_shards(store, PREFIX)


def trained(experiment: Experiment, store: Store, into: Store | None = None, reporter: Any = None) -> bool:
    """Trains on the shards of a store; whether the run came to its end."""
    return fit(experiment, data_in(store), place(into or store), reporter or Scripted(), threads=1)


def published(experiment: Experiment, folder: Path) -> Store:
    """A store with the experiment prepared, trained, measured and published."""
    store = prepared(experiment, folder)
    assert trained(experiment, store)
    shards, run = a_parent(store, PREFIX), a_parent(store, RUN)
    evaluate(store, experiment, ShardsHandle(shards.uri, PREFIX, shards.digest), Trained(run.uri, RUN, run.digest),
             key="e", prefix=SCORES, features="f" * 64)
    publish_as(store, "p", RUN, SCORES, experiment)
    return store
