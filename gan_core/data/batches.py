"""From shards to a worker's share of a batch on its device: one vectorised gather, then arithmetic on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_core.data.sampler import indices, share
from gan_core.data.shards import Split

RESIDENT_BYTES = 256 * 2**20  # a split up to this size is kept on the device whole


class Batches:
    """Batches of a split by position.

    A batch is {"image": [b, C, H, W] float32 in [−1, 1], "label": [b] int64 where the set has labels},
    b = batch / world.
    """

    def __init__(self, split: Split, *, seed: int, batch: int, rank: int, world: int, device: torch.device) -> None:
        self._split = split
        self._size, self._seed, self._batch = len(split), seed, batch
        self._rows = share(batch, rank, world)
        self._device = device
        self._labels = None if split.labels is None else torch.from_numpy(split.labels.copy()).to(device)
        resident = sum(part.nbytes for part in split.parts) <= RESIDENT_BYTES
        self._resident = torch.from_numpy(split.images.copy()).to(device) if resident else None

    def at(self, position: int) -> dict[str, Tensor]:
        """This worker's rows of the global batch that begins at `position`."""
        chosen = indices(self._size, seed=self._seed, position=position, count=self._batch)[self._rows]
        on_device = torch.from_numpy(chosen).to(self._device)
        images = torch.from_numpy(self._split.gather(chosen)).to(self._device) if self._resident is None \
            else self._resident[on_device]
        batch = {"image": normalise(images)}
        if self._labels is not None:
            batch["label"] = self._labels[on_device]
        return batch


def normalise(images: Tensor) -> Tensor:
    """uint8 0 … 255 to float32 −1 … 1."""
    return images.float().div_(127.5).sub_(1)

