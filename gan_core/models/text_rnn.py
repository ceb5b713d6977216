"""Recurrent networks for texts (Kusner & Hernández-Lobato 2016, arXiv:1611.04051): one character after the other.

A text is [n, symbols, length], one-hot at each place.  The generator draws a character from the distribution that its
state gives, by the Gumbel trick, and reads it as it goes on:

    y = one_hot(argmax(h + g)),  g = −log(−log u),  u uniform over (0, 1)                                    (eq. 6, 8)

whose gradient is that of softmax((h + g) / τ), straight through (Jang et al. 2017, arXiv:1611.01144, section 2.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any, cast

import torch
from torch import Tensor, nn

from gan_core.models.condition import ConditionEmbedding, Verdict
from gan_core.models.dropout import Dropout
from gan_core.options.conditions import Conditions

FURTHEST = 5.0  # of a normal number; its probability and that of its opposite differ from 1 in float32 too


class Lstm(nn.Module):
    """One step of an LSTM (Hochreiter & Schmidhuber 1997): x [n, inputs] and (h, c) [n, width] to the next (h, c).

    Of linear layers and products alone, so that it can be traced, and is the same in every precision.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.of_input = nn.Linear(inputs, 4 * width)
        self.of_state = nn.Linear(width, 4 * width, bias=False)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        put, keep, new, out = (self.of_input(x) + self.of_state(h)).chunk(4, dim=1)
        c = torch.sigmoid(keep + 1) * c + torch.sigmoid(put) * torch.tanh(new)  # + 1: to remember, at first
        return torch.sigmoid(out) * torch.tanh(c), c


class TextRnnGenerator(nn.Module):
    """z: [n, latent], noise: [n, symbols, length] from N(0, 1), and label with conditions: to texts, one-hot.

    z, with the label embedded beside it, is what the state begins as and what each step is told.  temperature: [], of
    the gradient alone; None where there is none to be had.
    """

    def __init__(
        self, symbols: int, length: int, latent: int, width: int, conditions: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        told = Conditions.model_validate(conditions or {})
        given = 2 * latent if told else latent
        self.symbols, self.length = symbols, length
        self.embed = ConditionEmbedding(told, latent) if told else None
        self.begin = nn.Linear(given, 2 * width)
        self.lstm = Lstm(symbols + given, width)
        self.to_symbols = nn.Linear(width, symbols)

    def forward(
        self, z: Tensor, noise: Tensor, label: Tensor | None = None, temperature: Tensor | None = None
    ) -> Tensor:
        if self.embed is not None:
            z = torch.cat([z, self.embed(label)], dim=1)
        h, c = torch.tanh(self.begin(z)).chunk(2, dim=1)
        drawn = gumbel(noise)
        character = torch.zeros_like(drawn[:, :, 0])  # there is none before the first
        text = []
        for place in range(self.length):
            h, c = self.lstm(torch.cat([character, z], dim=1), h, c)
            character = straight_through(self.to_symbols(h).to(drawn.dtype) + drawn[:, :, place], temperature)
            text.append(character)
        return torch.stack(text, dim=2)


class TextRnnDiscriminator(nn.Module):
    """Texts [n, symbols, length] and, with conditions, label: to logits [n], higher is more real.

    An LSTM reads the text both ways; what it has at the places is averaged.  dropout: share of the numbers of an
    embedded character that it does not see, others each time.
    """

    def __init__(
        self, symbols: int, length: int, width: int, conditions: Mapping[str, Any] | None = None, *,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        told = Conditions.model_validate(conditions or {})
        self.from_symbols = nn.Linear(symbols, width, bias=False)
        self.dropout = Dropout(dropout)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.judge = Verdict(2 * width, told, "projection")

    def forward(self, text: Tensor, label: Tensor | None = None) -> Tensor:
        seen = self.dropout(self.from_symbols(text.transpose(1, 2)))
        states, _ = self.lstm(seen)
        return cast(Tensor, self.judge(states.mean(dim=1), label))


def gumbel(normal: Tensor) -> Tensor:
    """Numbers from N(0, 1) as numbers of Gumbel's distribution, −log(−log Φ(x)): a bundle draws normal ones alone.

    Beyond ±5, 6 in 10 million, they count as ±5.
    """
    share = (1 + torch.erf(normal.clamp(-FURTHEST, FURTHEST) / sqrt(2))) / 2
    return -torch.log(-torch.log(share))


def straight_through(scores: Tensor, temperature: Tensor | None) -> Tensor:
    """One-hot of the highest of the scores [n, symbols]; the gradient is that of softmax(scores / temperature)."""
    symbols = torch.arange(scores.shape[1], device=scores.device)
    hard = (scores.argmax(dim=1, keepdim=True) == symbols).to(scores.dtype)
    if temperature is None:
        return hard
    soft = torch.softmax(scores / temperature, dim=1)
    return hard + soft - soft.detach()
