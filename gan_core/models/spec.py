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
    or, of shape (attributes,), one float32 for each attribute.  'image' is a given image in [−1, 1].  'part' is an
    int64 of shape (): which network of a mixture makes the example, each as often as its share says.
    """

    shape: tuple[int, ...]
    distribution: Literal["normal", "condition", "image", "part"]
    classes: int = 0
    attributes: tuple[Attribute, ...] = ()
    shares: tuple[float, ...] = ()


class OnnxSpec(Config):
    """What generator.onnx is beside the network.

    difference: the largest that was found between an image of the model, in float32, and of the network in float64,
    both in [−1, 1].
    """

    file: Literal["generator.onnx"] = "generator.onnx"
    output: Literal["images"] = "images"
    difference: float


class GeneratorSpec(Config):
    """generator.json: the family and options that build the network, its inputs, and its images' shape.

    The network is called with its inputs by name and returns [n, *output] float32 in [−1, 1].  onnx: of a published
    version that has an ONNX model.
    """

    family: str
    options: dict[str, Any]
    inputs: dict[str, InputSpec]
    output: tuple[int, int, int]
    onnx: OnnxSpec | None = None

    @property
    def network(self) -> tuple[object, ...]:
        """What makes two networks alike but for their weights."""
        return self.family, self.options, self.inputs, self.output

    def build(self) -> nn.Module:
        """The network with fresh weights.  ConfigError when the family is not installed."""
        network: nn.Module = FAMILIES.get(self.family)(**self.options)
        return network
