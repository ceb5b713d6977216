"""Fresh weights: the family's own, or one of the usual rules for all layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gan_core.errors import ConfigError

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.Embedding
Transposed = nn.ConvTranspose1d | nn.ConvTranspose2d

RADFORD_STD = 0.02


def initialise(network: nn.Module, kind: str, own: Callable[[nn.Module], None]) -> None:
    """Gives every layer of a network fresh weights, drawn from torch's global generator.

    kind: auto: `own` is called with each module, children first; normal: N(0, 0.02²), orthogonal: Saxe et al. 2014
    (arXiv:1312.6120), he: He et al. 2015 (arXiv:1502.01852), xavier: Glorot & Bengio 2010, uniform; biases are then 0.
    To be called before `spectral`, which changes what `weight` is.  ConfigError for an unknown kind.
    """
    if any(map(parametrize.is_parametrized, network.modules())):
        raise RuntimeError("weights are initialised before spectral norm is put on them, not after")
    if kind == "auto":
        network.apply(own)
    elif kind in _RULES:
        network.apply(lambda module: _apply(_RULES[kind], module))
    else:
        raise ConfigError(f"init: '{kind}' is unknown; these are known: auto, {', '.join(_RULES)}")


def radford(module: nn.Module) -> None:
    """Radford et al. 2016: weights from N(0, 0.02²), biases 0; norms stay as they are made, 1 and 0."""
    _apply(_normal, module)


def glorot(module: nn.Module) -> None:
    """Glorot & Bengio 2010, uniform, which is Keras' default; biases 0."""
    _apply(_xavier, module)


def orthogonal(module: nn.Module) -> None:
    """Saxe et al. 2014, BigGAN's; biases 0."""
    _apply(_orthogonal, module)


def he(module: nn.Module) -> None:
    """He et al. 2015: the mean square of what comes in is kept through a ReLU that follows; biases 0."""
    _apply(_he, module)


def _apply(rule: Callable[[Layer], object], module: nn.Module) -> None:
    if isinstance(module, Layer):
        rule(module)
        bias = getattr(module, "bias", None)
        if isinstance(bias, Tensor):
            nn.init.zeros_(bias)


def _normal(layer: Layer) -> None:
    nn.init.normal_(layer.weight, 0.0, RADFORD_STD)


def _orthogonal(layer: Layer) -> None:
    """Orthogonal from inputs to outputs, which a transposed convolution's weight holds the other way round."""
    with torch.no_grad():
        matrix = layer.weight.transpose(0, 1) if isinstance(layer, Transposed) else layer.weight
        matrix.copy_(nn.init.orthogonal_(torch.empty_like(matrix, memory_format=torch.contiguous_format)))


def _he(layer: Layer) -> None:
    nn.init.normal_(layer.weight, 0.0, sqrt(2 / _terms(layer)))


def _xavier(layer: Layer) -> None:
    nn.init.xavier_uniform_(layer.weight)


def _terms(layer: Layer) -> float:
    """Products that are added up to one output number, at the edges of maps fewer."""
    weight = layer.weight
    if isinstance(layer, Transposed):
        kernel = weight[0, 0].numel()
        return weight.shape[0] // layer.groups * kernel / prod(layer.stride)
    return weight[0].numel()


_RULES: Mapping[str, Callable[[Layer], None]] = {
    "normal": _normal, "orthogonal": _orthogonal, "he": _he, "xavier": _xavier,
}
