"""How networks are told of a label or of attributes: as numbers beside theirs, as a map, or by the verdict.

A `label` is int64 [n] where there are classes, and float32 [n, attributes] of raw values where there are attributes.
Either becomes one row of `Conditions.heads` numbers, and everything here is linear in it: what an attribute does is
added to what the others do, so that combinations that no example has compose of those that some have.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, one_hot

from gan_core.errors import ConfigError
from gan_core.options.conditions import Attribute, Conditions
from gan_core.options.networks import ConditionBy


def encoded(label: Tensor, conditions: Conditions) -> Tensor:
    """[n, heads] float32: classes and categorical attributes one-hot, others from −1 (0, or low) to 1 (1, or high)."""
    if conditions.classes:
        return one_hot(label, conditions.classes).float()
    columns = label.unbind(1)
    return torch.cat([_column(*each) for each in zip(columns, conditions.attributes, strict=True)], dim=1)


def _column(values: Tensor, attribute: Attribute) -> Tensor:
    """[n] raw values to [n, heads of the attribute]."""
    if attribute.kind == "categorical":
        return one_hot(values.long(), attribute.values).float()
    low, high = (0.0, 1.0) if attribute.kind == "binary" else (attribute.low, attribute.high)
    return (2 * (values - low) / (high - low) - 1).unsqueeze(1)


class ConditionEmbedding(nn.Embedding):
    """A label as [n, width] learnt numbers: of a class its row, of attributes the sum of their rows times their values.

    The weight has one row for each of the `Conditions.heads` numbers that a label is encoded as.
    """

    def __init__(self, conditions: Conditions, width: int) -> None:
        if not conditions:
            raise ConfigError("a network that is told nothing has nothing to embed; classes or attributes work")
        super().__init__(conditions.heads, width)
        self.conditions = conditions

    def forward(self, input: Tensor) -> Tensor:
        if self.conditions.classes:
            return embedding(input, self.weight)
        weight = self.weight
        return encoded(input, self.conditions).to(weight.dtype) @ weight


class ConditionMap(nn.Module):
    """A label as a learnt map [n, 1, height, width], to be joined to images as one more channel."""

    def __init__(self, conditions: Conditions, height: int, width: int) -> None:
        super().__init__()
        self.shape = (1, height, width)
        self.embed = ConditionEmbedding(conditions, height * width)

    def forward(self, label: Tensor) -> Tensor:
        maps: Tensor = self.embed(label).unflatten(1, self.shape)
        return maps


class Verdict(nn.Module):
    """A discriminator's last layer: features [n, features] to logits [n], higher is more real.

    by projection (Miyato & Koyama 2018, arXiv:1802.05637, eq. 3) the label's embedding times the features is added;
    by auxiliary (AC-GAN: Odena et al. 2017, arXiv:1610.09585) the label is not read but predicted: [n, 1 + heads], the
    logit first; by embedding the network was told before, and this is a linear layer alone, as it is without
    conditions.
    """

    def __init__(self, features: int, conditions: Conditions, by: ConditionBy, bias: bool = True) -> None:
        super().__init__()
        heads = conditions.heads if by == "auxiliary" else 0
        self.linear = nn.Linear(features, 1 + heads, bias=bias)
        self.embed = ConditionEmbedding(conditions, features) if conditions and by == "projection" else None

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        found: Tensor = self.linear(x)
        if found.shape[1] > 1:
            return found
        logits = found.squeeze(1)
        return logits if self.embed is None else logits + (self.embed(label) * x).sum(1)
