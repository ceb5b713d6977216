"""Networks of one-dimensional convolutions for texts (Gulrajani et al. 2017, arXiv:1704.00028, section 5).

A text is [n, symbols, length]: at each place one number a symbol, which are one-hot of a real text and a softmax of a
generated one.  Residual blocks of `width` channels keep the length, and both networks see all places at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from gan_core.models.condition import ConditionEmbedding, Verdict
from gan_core.options.conditions import Conditions

KERNEL = 5
BRANCH = 0.3  # what a block adds to what it is given is made so much smaller


class Block(nn.Module):
    """x + 0.3 conv(relu(conv(relu(x)))), kernels of 5.  [n, C, T] to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(channels, channels, KERNEL, padding=KERNEL // 2) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.convs[1](relu(self.convs[0](relu(x))))
        return cast(Tensor, x + BRANCH * inner)


class TextConvGenerator(nn.Module):
    """z: [n, latent] and, with conditions, label, embedded beside z: to texts [n, symbols, length].

    At each place the numbers are above 0 and add up to 1.  conditions: as data.
    """

    def __init__(
        self, symbols: int, length: int, latent: int, width: int, blocks: int,
        conditions: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        told = Conditions.model_validate(conditions or {})
        self.places = (width, length)
        self.embed = ConditionEmbedding(told, latent) if told else None
        self.project = nn.Linear(2 * latent if told else latent, width * length)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.to_symbols = nn.Conv1d(width, symbols, 1)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        if self.embed is not None:
            z = torch.cat([z, self.embed(label)], dim=1)
        x = self.blocks(self.project(z).unflatten(1, self.places))
        return torch.softmax(self.to_symbols(x), dim=1)


class TextConvDiscriminator(nn.Module):
    """Texts [n, symbols, length] and, with conditions, label: to logits [n], higher is more real; no norm anywhere."""

    def __init__(
        self, symbols: int, length: int, width: int, blocks: int, conditions: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.from_symbols = nn.Conv1d(symbols, width, 1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.judge = Verdict(width * length, Conditions.model_validate(conditions or {}), "projection")

    def forward(self, text: Tensor, label: Tensor | None = None) -> Tensor:
        features = self.blocks(self.from_symbols(text)).flatten(1)
        return cast(Tensor, self.judge(features, label))
