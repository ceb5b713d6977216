"""What a discriminator makes of images: its logits, and the features that it reads them off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as tensors_from
from torch import Tensor, nn

from gan_core.config import Experiment
from gan_core.data.batches import ready
from gan_core.data.shards import IMAGE, Shards
from gan_core.errors import DamagedFile, DataError
from gan_core.metrics.domain import one_thread
from gan_core.recipes.recipe import Recipe, build_recipe, data_of

WEIGHTS_FILE = "networks.safetensors"  # of a run: all networks as they were trained, not averaged
AT_ONCE = 64  # images given to it at one time
MAKERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # of logits

Images = NDArray[Any]
"""uint8 [n, C, H, W], or examples of another kind as they are stored."""


@dataclass(frozen=True, eq=False)
class Judge:
    """The first discriminator that a recipe names, in use and not in training: dropout is off, statistics are fixed.

    attributes: how many columns of them the data has.  kind: the name of the examples in a batch.
    Whatever it is asked is answered on one thread, and is a function of weights and images.
    """

    recipe: Recipe
    networks: Mapping[str, nn.Module]
    attributes: int
    kind: str = IMAGE

    def logits(
        self, images: Images, labels: NDArray[np.int64] | None = None, attributes: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """[n], higher is more real, of images and what they are told to be.

        labels: [n].  attributes: [n, A], in the order of the data's columns.  Either may be None where the data has
        none.
        """
        with _in_use(self.networks):
            parts = [next(iter(self.recipe.logits(self.networks, batch).values())).float().numpy()
                     for batch in self._batches(images, labels, attributes)]
        return np.concatenate(parts)

    def features(self, images: Images) -> NDArray[np.float32]:
        """[n, d]: the numbers that its last linear layer or convolution makes the logit from.

        All images are told to be of the first class, and their attributes 0: where a label is an input, features would
        give it away.  DataError for a discriminator without such a layer.
        """
        with _in_use(self.networks), _last_inputs(self.networks) as seen:
            parts = []
            for batch in self._batches(images, None, None):
                name = next(iter(self.recipe.logits(self.networks, batch)))
                if name not in seen:
                    raise DataError(f"the discriminator '{name}' ends in no linear layer and no convolution, so that "
                                    "it has no features to probe; leave evaluate.also=linear_probe out")
                parts.append(seen[name].flatten(1).float().numpy())
        return np.concatenate(parts)

    def _batches(
        self, images: Images, labels: NDArray[np.int64] | None, attributes: NDArray[np.float32] | None
    ) -> Iterator[dict[str, Tensor]]:
        told = np.zeros(len(images), np.int64) if labels is None else labels
        known = np.zeros((len(images), self.attributes), np.float32) if attributes is None else attributes
        columns: dict[str, NDArray[Any]] = {self.kind: images, "label": told, "attributes": known}
        for start in range(0, len(images), AT_ONCE):
            yield {name: ready(torch.from_numpy(column[start : start + AT_ONCE].copy()))
                   for name, column in columns.items()}


def judge_of(experiment: Experiment, shards: Shards, weights: bytes) -> Judge:
    """From the bytes of a run's networks.safetensors.  DamagedFile when they are not those of its networks."""
    data = data_of(experiment, shards)
    recipe = build_recipe(experiment, data)
    with torch.random.fork_rng(devices=[]):
        networks = recipe.networks()
    tensors = tensors_from(weights)
    try:
        for name, network in networks.items():
            network.load_state_dict(_within(tensors, name))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise DamagedFile(f"{WEIGHTS_FILE} is not of the experiment's networks: {reason}; remove the run, and the next "
                          "one trains them again") from None
    return Judge(recipe, networks, len(data.attributes), data.kind)


def _within(tensors: Mapping[str, Tensor], network: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{network}."): tensor for name, tensor in tensors.items()
            if name.startswith(f"{network}.")}


@contextmanager
def _in_use(networks: Mapping[str, nn.Module]) -> Iterator[None]:
    for network in networks.values():
        network.eval()
    with one_thread(), torch.no_grad():
        yield


@contextmanager
def _last_inputs(networks: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """By network, what the last of its linear layers and convolutions was given when it was called."""
    seen: dict[str, Tensor] = {}

    def noting(name: str) -> Any:
        def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[name] = inputs[0]
        return note

    handles = [module.register_forward_pre_hook(noting(name)) for name, network in networks.items()
               for module in network.modules() if isinstance(module, MAKERS)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
