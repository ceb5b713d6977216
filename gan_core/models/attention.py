"""Maps that attend to themselves (SAGAN, Zhang et al. 2019, arXiv:1805.08318; BigGAN, Brock et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d


class SelfAttention(nn.Module):
    """Each place of a map adds a mean of all places, weighted by how alike they are.  [n, C, H, W] to the same.

    Equations 1 to 3 of the paper, as its networks and BigGAN's have them: queries θ and keys φ of C / 8 channels,
    values g of C / 2, no biases, and keys and values max-pooled to a quarter of the places.  What is added is scaled
    by a learned number that starts from 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.queries = nn.Conv2d(channels, narrow, 1, bias=False)
        self.keys = nn.Conv2d(channels, narrow, 1, bias=False)
        self.values = nn.Conv2d(channels, half, 1, bias=False)
        self.to_maps = nn.Conv2d(half, channels, 1, bias=False)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        queries = self.queries(x).flatten(2)                  # [n, C / 8, H W]
        keys = max_pool2d(self.keys(x), 2).flatten(2)         # [n, C / 8, H W / 4]
        values = max_pool2d(self.values(x), 2).flatten(2)     # [n, C / 2, H W / 4]
        shares = (queries.transpose(1, 2) @ keys).softmax(2)  # [n, H W, H W / 4], each row sums to 1
        attended = (values @ shares.transpose(1, 2)).unflatten(2, x.shape[2:])
        added: Tensor = self.to_maps(attended.contiguous(memory_format=_order(x)))
        return x + self.gain * added


def _order(x: Tensor) -> torch.memory_format:
    """The memory order that the maps beside are in: an operation on two orders takes three times as long."""
    return torch.contiguous_format if x.is_contiguous() else torch.channels_last
