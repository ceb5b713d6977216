"""From shards to a worker's share of a batch on its device: one vectorised gather a column, then arithmetic there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gan_core.data.rows import Rows
from gan_core.data.sampler import Grouped, Natural, Order, Subset, Weighted, share, stream
from gan_core.data.shards import IMAGE, IMAGE_B, RemoteSplit, Split
from gan_core.data.weights import FIELD, NATURAL, Sampling, shown, weights_for
from gan_core.data.window import Window, group_that_fits
from gan_core.errors import ConfigError, DataError

RESIDENT_BYTES = 256 * 2**20  # a split up to this size is kept on the device whole
UNPAIRED = "unpaired"


class Batches:
    """Batches of a split by position, b = batch / world rows each.

    A batch is {"image": [b, C, H, W], "image_b": …, "audio": …, "tokens": …, "video": …, "label": [b] int64,
    "attributes": [b, A] float32 in the order of `Split.attribute_names`}, as far as the set has them; of two unpaired
    domains {"image", "image_b"}, each in an order of its own.  Every batch is fresh memory: what is done to it reaches
    neither the data nor another batch, and no later batch overwrites it.

    sampling, shuffle_shards: `train.sampling` and `train.shuffle_shards`.  facts: the manifest's.  ConfigError when
    the set cannot be drawn so or does not fit the cache; DataError when a domain is empty.
    """

    def __init__(
        self,
        split: Split,
        *,
        seed: int,
        batch: int,
        rank: int,
        world: int,
        device: torch.device,
        sampling: Sampling = NATURAL,
        shuffle_shards: int | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        rows = share(batch, rank, world)
        self._start, self._count = rows.start, rows.stop - rows.start
        self._drawn: _Drawn
        if (facts or {}).get("domains") == UNPAIRED:
            _refuse_other_orders_of_domains(split, sampling, shuffle_shards)
            self._drawn = _TwoDomains(split, seed, device)
        elif isinstance(split, RemoteSplit):
            group = group_that_fits(split, shuffle_shards)
            self._drawn = _GroupByGroup(split, _grouped(split, seed, sampling, group), device)
        else:
            self._drawn = _Whole(split, _order(split, seed, sampling, shuffle_shards, facts or {}), device)

    def take(self, position: int) -> dict[str, Tensor]:
        """This worker's rows of the global batch that begins at `position`, on the device, as they are stored."""
        return self._drawn.take(position + self._start, self._count)

    def at(self, position: int) -> dict[str, Tensor]:
        """The same, ready for a network: images and audio float32 in [−1, 1], tokens int64."""
        return {name: ready(values) for name, values in self.take(position).items()}


class _Drawn(Protocol):
    """Examples in an order."""

    def take(self, position: int, count: int) -> dict[str, Tensor]: ...


class _Whole:
    """Any order over a split that is at hand."""

    def __init__(self, split: Split, order: Order, device: torch.device) -> None:
        self._order, self._rows = order, Rows(split, device, RESIDENT_BYTES)

    def take(self, position: int, count: int) -> dict[str, Tensor]:
        return self._rows.take(self._order.at(position, count))


class _TwoDomains:
    """Label 0 as `image` and label 1 as `image_b`, neither waiting for the other's epoch to end."""

    def __init__(self, split: Split, seed: int, device: torch.device) -> None:
        labels = np.asarray(split.labels)
        self._rows = Rows(split, device, RESIDENT_BYTES)
        self._orders = {}
        for label, name in enumerate((IMAGE, IMAGE_B)):
            members = np.flatnonzero(labels == label)
            if not len(members):
                raise DataError(f"the set's domains are unpaired, and no training example has the label {label}; "
                                "label 0 is the first domain, label 1 the second")
            self._orders[name] = Subset(members, Natural(len(members), stream(seed, name)))

    def take(self, position: int, count: int) -> dict[str, Tensor]:
        return {name: self._rows.take(order.at(position, count))[IMAGE] for name, order in self._orders.items()}


class _GroupByGroup:
    """A split that is larger than the cache: at hand are the files of one group, and soon those of the next."""

    def __init__(self, split: RemoteSplit, order: Grouped, device: torch.device) -> None:
        self._order, self._window, self._device = order, Window(split, order), device
        self._group = -1
        self._rows: Rows | None = None

    def take(self, position: int, count: int) -> dict[str, Tensor]:
        taken = []
        for run in self._order.runs(position, count):
            if self._rows is None or run.group != self._group:
                self._rows = None  # its maps go before the next group comes
                self._rows = Rows(self._window.enter(run.group), self._device, resident_bytes=0)
                self._group = run.group
            taken.append(self._rows.take(run.chosen))
        return {name: torch.cat([part[name] for part in taken]) for name in taken[0]} if taken[1:] else taken[0]


def _order(
    split: Split, seed: int, sampling: Sampling, shuffle_shards: int | None, facts: Mapping[str, Any]
) -> Order:
    if shuffle_shards is not None:
        return _grouped(split, seed, sampling, shuffle_shards)
    weights = weights_for(
        sampling, labels=split.labels, class_names=facts.get("class_names", ()), columns=split.numbers
    )
    return Natural(len(split), seed) if weights is None else Weighted(weights, seed=seed)


def _grouped(split: Split, seed: int, sampling: Sampling, group: int) -> Grouped:
    if sampling != NATURAL:
        raise ConfigError(f"{FIELD}={shown(sampling)} draws from all of the set, and train.shuffle_shards={group} has "
                          "only a part of it at hand; leave out one of the two")
    return Grouped(split.counts, group=group, seed=seed)


def _refuse_other_orders_of_domains(split: Split, sampling: Sampling, shuffle_shards: int | None) -> None:
    if sampling != NATURAL or shuffle_shards is not None:
        field = f"{FIELD}={shown(sampling)}" if sampling != NATURAL else f"train.shuffle_shards={shuffle_shards}"
        raise ConfigError(f"{field}: this set has two unpaired domains, each drawn in an order of its own; "
                          f"leave it out")
    if isinstance(split, RemoteSplit):
        group_that_fits(split, None, divisible=False)


def ready(values: Tensor) -> Tensor:
    """Stored values as networks take them: uint8 and int16 to float32 in [−1, 1], int32 to int64."""
    if values.dtype == torch.uint8:
        return normalise(values)
    if values.dtype == torch.int16:
        return values.float().div_(32768)
    return values.long() if values.dtype == torch.int32 else values


def normalise(images: Tensor) -> Tensor:
    """uint8 0 … 255 to float32 −1 … 1."""
    return images.float().div_(127.5).sub_(1)
