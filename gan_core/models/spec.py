"""How a published generator is built and fed, as plain data: what a bundle says instead of carrying code."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from gan_core.block import Config
from gan_core.options.conditions import Attribute
from gan_core.registry import FAMILIES


class InputSpec(Config):
    """One named input of a generator.

    shape: of one example.  'normal' is drawn from N(0, I).  'condition' is an int64 label 0 … classes − 1 of shape (),
    or, of shape (attributes,), one float32 for each attribute.  'image' is a given image in [−1, 1].
    """

    shape: tuple[int, ...]
    distribution: Literal["normal", "condition", "image"]
    classes: int = 0
    attributes: tuple[Attribute, ...] = ()


class GeneratorSpec(Config):
    """generator.json: the family and options that build the network, its inputs, and its images' shape.

    The network is called with its inputs by name and returns [n, *output] float32 in [−1, 1].
    """

    family: str
    options: dict[str, Any]
    inputs: dict[str, InputSpec]
    output: tuple[int, int, int]

    def build(self) -> nn.Module:
        """The network with fresh weights.  ConfigError when the family is not installed."""
        network: nn.Module = FAMILIES.get(self.family)(**self.options)
        return network
