"""How a published generator is built and fed, as plain data: what a bundle says instead of carrying code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field
from torch import nn

from gan_core.block import Config
from gan_core.modalities.form import Form, Kind
from gan_core.modalities.kinds import modality_of
from gan_core.modalities.modality import Modality
from gan_core.options.conditions import Attribute
from gan_core.registry import FAMILIES


class InputSpec(Config):
    """One named input of a generator.

    shape: of one example.  'normal' is drawn from N(0, I).  'condition' is an int64 label 0 … classes − 1 of shape (),
    or, of shape (attributes,), one float32 for each attribute.  'image' is a given image in [−1, 1].  'part' is an
    int64 of shape (): which network of a mixture makes the example, each as often as its share says.

    column: of an image, which of a data set of pairs such images are; '' where examples are no pairs.  indices: where
    pixels are class indices 0 … indices − 1 and no levels, how many; they are stored and scaled as levels are.
    """

    shape: tuple[int, ...]
    distribution: Literal["normal", "condition", "image", "part"]
    classes: int = 0
    attributes: tuple[Attribute, ...] = ()
    column: Literal["", "image", "image_b"] = Field("", exclude_if=lambda column: not column)
    indices: int = Field(0, exclude_if=lambda indices: not indices)
    shares: tuple[float, ...] = Field((), exclude_if=lambda shares: not shares)


def pairs_of(inputs: Mapping[str, InputSpec]) -> tuple[str, str] | None:
    """Of a generator with these inputs that makes one image of a pair from the other: the columns given and made."""
    given = next((one.column for one in inputs.values() if one.column), None)
    return None if given is None else (given, "image" if given == "image_b" else "image_b")


class OnnxSpec(Config):
    """What generator.onnx is beside the network.

    output: its name in the model, as of `gan_core.modalities.modality.Modality.made`.  difference: the largest that was
    found between what the model makes, in float32, and what the network makes in float64, as a network makes it.
    """

    file: Literal["generator.onnx"] = "generator.onnx"
    output: Literal["images", "audio", "scores", "video"] = "images"
    difference: float


class GeneratorSpec(Config):
    """generator.json: the family and options that build the network, its inputs, and the form of what it makes.

    kind, output, rate, symbols: as of `gan_core.modalities.form.Form`, output being its shape; images say no more than
    their shape.  The network is called with its inputs by name and returns [n, *output] float32 in [−1, 1]; of tokens
    scores, [n, symbols, T].  onnx: of a published version that has an ONNX model.
    """

    family: str
    options: dict[str, Any]
    inputs: dict[str, InputSpec]
    kind: Kind = Field("image", exclude_if=lambda kind: kind == "image")
    output: tuple[int, ...]
    rate: float = Field(0.0, exclude_if=lambda rate: not rate)
    symbols: tuple[str, ...] = Field((), exclude_if=lambda symbols: not symbols)
    onnx: OnnxSpec | None = None

    @property
    def network(self) -> tuple[object, ...]:
        """What makes two networks alike but for their weights."""
        return self.family, self.options, self.inputs, self.form

    @property
    def form(self) -> Form:
        """Of the examples that are made."""
        return Form(kind=self.kind, shape=self.output, rate=self.rate, symbols=self.symbols)

    @property
    def modality(self) -> Modality:
        """What is done with them."""
        return modality_of(self.form)

    def build(self) -> nn.Module:
        """The network with fresh weights.  ConfigError when the family is not installed."""
        network: nn.Module = FAMILIES.get(self.family)(**self.options)
        return network
