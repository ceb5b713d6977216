"""Train: shards become a trained generator."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from gan_core.config import Experiment
from gan_core.data.shards import open_shards
from gan_core.manifest import Parent
from gan_core.recipes.recipe import build_recipe, data_of
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from gan_core.train.cost import Uncountable, networks_of
from gan_core.train.loop import fit as fit  # what the workers run: its source is part of this stage's key
from pipelines.handles import Shards

Launch = Callable[[RunPlace, str, tuple[Parent, ...]], None]


def train(
    store: Store, experiment: Experiment, shards: Shards, launch: Launch, *, key: str, prefix: str,
    also_from: tuple[Parent, ...] = (),
) -> None:
    """Has `launch` run gan_core.train.loop.fit on the workers until the run under `prefix` is finished.

    also_from: what else it is made from: the published version whose weights it begins with, the feature network by
    which it decides.
    Raises, before any worker starts, DamagedFile when a shard is not what its manifest says, and ConfigError when the
    recipe or its networks are not made for such data, or evaluate could not measure what they make.
    """
    data = data_of(experiment, open_shards(store, shards.prefix))
    with suppress(Uncountable):  # a recipe that cannot do without weights is seen when it runs
        networks_of(experiment, data)
    experiment.evaluate.refuse_for_kind(data.kind)
    taken = build_recipe(experiment, data).published()[1].inputs.values()
    if any(one.column for one in taken):
        experiment.evaluate.refuse_for_pairs()
    elif any(one.distribution == "image" for one in taken):
        experiment.evaluate.refuse_for_translations()
    else:
        experiment.evaluate.refuse_without_translations()
    launch(RunPlace(store, prefix, key), shards.prefix, (shards.parent(), *also_from))
