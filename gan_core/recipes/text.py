"""What the GANs of text share: the data they are for, what they are told, and texts as networks see them.

A text is [n, symbols, length]: at each place one number a symbol of the vocabulary, of which symbol 0 is what follows
the end of a line.  Real texts are one-hot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gan_core.errors import ConfigError
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.options.conditions import Conditions
from gan_core.options.text import TextOptions
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Batch, DataSpec, Defaults

GENERATOR, DISCRIMINATOR = "generator", "discriminator"
FEWEST_SYMBOLS = 2  # the end and one more


class OfText(Defaults):
    """A recipe for tokens of a known vocabulary, told the label or nothing."""

    def __init__(self, options: TextOptions, data: DataSpec) -> None:
        recipe = getattr(options, "recipe", "this")
        if data.kind != "tokens":
            raise ConfigError(f"model.recipe: {recipe} makes texts, and this data set holds {data.kind}; data of "
                              "tokens works, such as data.source=text_lines or data.source=text_file")
        if len(data.symbols) < FEWEST_SYMBOLS:
            raise ConfigError(f"model.recipe: {recipe} needs to know the symbols that tokens stand for, and the data "
                              f"set's facts name {len(data.symbols)}; a source whose index has the fact "
                              "`vocabulary` works, such as data.source=text_lines")
        if options.conditional and not data.classes:
            raise ConfigError("model.conditional: true, but the data has no labels; model.conditional=false works")
        self.form, self.length = data.form, data.shape[0]
        self.conditions = Conditions(classes=data.classes if options.conditional else 0)

    @property
    def sizes(self) -> dict[str, Any]:
        """Of the networks: what the data says."""
        return {"symbols": len(self.form.symbols), "length": self.length, "conditions": self.conditions.model_dump()}

    @property
    def shape(self) -> tuple[int, int]:
        """Of one text, (symbols, length)."""
        return len(self.form.symbols), self.length

    def spec(self, family: str, options: Mapping[str, Any], inputs: Mapping[str, InputSpec]) -> GeneratorSpec:
        """What is published: a generator of texts of these symbols."""
        return GeneratorSpec(family=family, options=dict(options), inputs=dict(inputs), **self.form.stated)

    @property
    def label_input(self) -> dict[str, InputSpec]:
        """The label, as a bundle asks for it; nothing without labels."""
        if not self.conditions:
            return {}
        return {"label": InputSpec(shape=(), distribution="condition", classes=self.conditions.classes)}

    def label(self, batch: Batch) -> tuple[Tensor, ...]:
        """What networks are told after the text: the label [n], or nothing."""
        return (batch["label"],) if self.conditions else ()

    def real(self, batch: Batch) -> Tensor:
        """The batch's texts, one-hot [n, symbols, length] float32."""
        return one_hot(batch["tokens"], len(self.form.symbols))

    def told(self, draw: Draw, condition: Tensor | None, latent: int) -> dict[str, Tensor]:
        """z, and the label where there is one."""
        noise = {"z": draw.normal("z", latent)}
        return noise if condition is None else {**noise, "label": condition}


def one_hot(tokens: Tensor, symbols: int) -> Tensor:
    """Tokens [n, T] int64 as [n, symbols, T] float32."""
    return (tokens[:, None] == torch.arange(symbols, device=tokens.device)[:, None]).float()
