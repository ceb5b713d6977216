"""Between vectors and maps without mixing memory orders: an operation on two orders takes three times as long.

With maps in channels-last order, the gradient of a flattened map would come back in the other order, and a new map
start in it; every activation beside them would then read one order and write the other (12 of 199 ms of a DCGAN's step
at 28 × 28).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _Flattened(torch.autograd.Function):
    """x.flatten(1), whose gradient has the memory order of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        ctx.order = torch.contiguous_format if x.is_contiguous() else torch.channels_last
        return x.flatten(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].view(ctx.shape).contiguous(memory_format=ctx.order)


def to_vectors(maps: Tensor) -> Tensor:
    """[n, C, H, W] to [n, C · H · W]."""
    flattened: Tensor = _Flattened.apply(maps)
    return flattened


class ToVectors(nn.Module):
    """`to_vectors` as a layer."""

    def forward(self, maps: Tensor) -> Tensor:
        return to_vectors(maps)


class ToMaps(nn.Module):
    """[n, C · H · W] to [n, C, H, W] in the memory order that the network is run in.  Holds no weights."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape
        self.memory_format = torch.contiguous_format

    def forward(self, vectors: Tensor) -> Tensor:
        maps: Tensor = vectors.unflatten(1, self.shape)
        return maps.contiguous(memory_format=self.memory_format)
