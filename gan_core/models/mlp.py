"""Fully connected networks, the first GAN's (Goodfellow et al. 2014, arXiv:1406.2661), for images of any shape.

Every hidden layer has 4 · width units: 256 at width 64, and 1200, the paper's generator for MNIST, at width 300.  A toy
point of two numbers is an image of shape (2, 1, 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from gan_core.errors import ConfigError
from gan_core.models.activations import activation as activation_of
from gan_core.models.condition import ConditionEmbedding, Verdict
from gan_core.models.dropout import Dropout
from gan_core.models.initialise import glorot, he, initialise
from gan_core.models.layout import ToMaps, to_vectors
from gan_core.models.norms import norm_of
from gan_core.models.spectral import spectral as with_spectral_norm
from gan_core.options.conditions import Conditions
from gan_core.options.networks import ConditionBy

UNITS = 4  # of a hidden layer, a unit of width


class Hidden(nn.Module):
    """[n, inputs] to [n, units]: layers of a linear map, norm, activation and dropout each."""

    def __init__(self, inputs: int, units: int, layers: int, norm: str, activation: str, dropout: float) -> None:
        super().__init__()
        if norm == "instance":
            raise ConfigError("norm: instance normalises over a map, and family mlp has none; norm=layer works")
        self.linears = nn.ModuleList(
            nn.Linear(a, b, bias=norm == "none") for a, b in pairwise([inputs] + layers * [units]))
        self.norms = nn.ModuleList(norm_of(norm, units) for _ in range(layers))
        self.activation = activation_of(activation)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        for linear, norm in zip(self.linears, self.norms, strict=True):
            x = self.dropout(self.activation(norm(linear(x))))
        return x


class MlpGenerator(nn.Module):
    """z: [n, latent] and, with conditions, label: to images [n, C, H, W] in [−1, 1].

    shape: (C, H, W), any.  conditions: as data; the label is embedded beside z.  ConfigError for norm=instance.
    """

    def __init__(
        self, shape: tuple[int, int, int], latent: int, width: int, conditions: Mapping[str, Any] | None = None, *,
        layers: int = 3, norm: str = "none", activation: str = "relu", dropout: float = 0.0, init: str = "auto",
        spectral: bool = False,
    ) -> None:
        super().__init__()
        told = Conditions.model_validate(conditions or {})
        self.embed = ConditionEmbedding(told, latent) if told else None
        self.hidden = Hidden(2 * latent if told else latent, UNITS * width, layers, norm, activation, dropout)
        self.last = nn.Linear(UNITS * width, prod(shape))
        self.to_maps = ToMaps(*shape)
        initialise(self, init, lambda module: _own(module, self.last))
        if spectral:
            with_spectral_norm(self)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        if self.embed is not None:
            z = torch.cat([z, self.embed(label)], dim=1)
        return torch.tanh(self.to_maps(self.last(self.hidden(z))))


class MlpDiscriminator(nn.Module):
    """Images [n, C, H, W] and, with conditions, label: to logits [n], higher is more real.

    With condition=auxiliary, [n, 1 + heads]: the logit, and what the label is taken for; by embedding, 4 · width
    numbers of the label are beside the pixels.  ConfigError for norm=instance.
    """

    def __init__(
        self, shape: tuple[int, int, int], width: int, conditions: Mapping[str, Any] | None = None, *,
        condition: ConditionBy = "projection", layers: int = 3, norm: str = "none", activation: str = "leaky_relu",
        dropout: float = 0.0, init: str = "auto", spectral: bool = False,
    ) -> None:
        super().__init__()
        told, units = Conditions.model_validate(conditions or {}), UNITS * width
        self.embed = ConditionEmbedding(told, units) if told and condition == "embedding" else None
        self.hidden = Hidden(prod(shape) + (units if self.embed is not None else 0), units, layers, norm, activation,
                             dropout)
        self.judge = Verdict(units, told, condition)
        initialise(self, init, lambda module: _own(module, self.judge.linear))
        if spectral:
            with_spectral_norm(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        x = to_vectors(images)
        if self.embed is not None:
            x = torch.cat([x, self.embed(label)], dim=1)
        verdict: Tensor = self.judge(self.hidden(x), label)
        return verdict


def _own(module: nn.Module, last: nn.Linear) -> None:
    """He for what an activation follows, Glorot for the last layer; embeddings from N(0, 1), as z is."""
    if module is last:
        glorot(module)
    elif isinstance(module, nn.Linear):
        he(module)
