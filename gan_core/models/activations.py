"""Activations by the names that a configuration gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from gan_core.errors import ConfigError

SLOPE = 0.2  # of leaky ReLU below 0, as in Radford et al. 2016

_ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(SLOPE),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def activation(name: str) -> nn.Module:
    """A layer without weights, of any shape, that can be differentiated twice.  ConfigError for an unknown name."""
    if name not in _ACTIVATIONS:
        raise ConfigError(f"activation: '{name}' is unknown; these are known: {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]()
