"""What a recipe's networks are told of each example."""

from __future__ import annotations

from difflib import get_close_matches

import torch
from torch import Tensor

from gan_core.errors import ConfigError
from gan_core.options.conditions import Conditions
from gan_core.options.image_gan import ImageGanOptions
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import DataSpec


def conditions_of(options: ImageGanOptions, data: DataSpec) -> Conditions:
    """The label or the attributes that the settings name.  ConfigError when the data has not got them."""
    if not options.conditional:
        return Conditions()
    if options.attributes:
        known = {attribute.name: attribute for attribute in data.attributes}
        for name in options.attributes:
            if name not in known:
                raise ConfigError(f"model.attributes: {name}: {_instead(name, [*known])}")
        return Conditions(attributes=tuple(known[name] for name in options.attributes))
    if not data.classes:
        raise ConfigError(f"model.conditional: true, but the data has no labels; {_without(options)}")
    return Conditions(classes=data.classes)


def _without(options: ImageGanOptions) -> str:
    """What makes the same networks work without labels."""
    needed = ["model.conditional=false"]
    if getattr(options.generator, "norm", "none") == "conditional_batch":
        needed.append("model.generator.norm=batch")
    if options.discriminator.condition == "auxiliary":
        needed.append("model.discriminator.condition=projection")
    if options.wrong_labels:
        needed.append("model.wrong_labels=0")
    return f"{' with '.join(needed)} works"


def _instead(name: str, known: list[str]) -> str:
    if not known:
        return "the data has no attributes; model.attributes=[] works"
    near = get_close_matches(name, known, n=1)
    return f"the data has no such attribute; {f'did you mean {near[0]}? ' if near else ''}it has {', '.join(known)}"


def within(values: Tensor, conditions: Conditions) -> Tensor:
    """[n, attributes], those beyond what the training examples have brought to its ends; labels as they are.

    Held-out examples may have attributes that no network was trained on.
    """
    if not conditions.attributes:
        return values
    low, high = (values.new_tensor(ends) for ends in zip(*(a.ends for a in conditions.attributes), strict=True))
    return values.clamp(low, high)


def with_wrong_labels(label: Tensor, share: float, classes: int, draw: Draw) -> Tensor:
    """[n] labels, each with this probability exchanged for one of the classes at random, perhaps the same."""
    if not share:
        return label
    return torch.where(draw.uniform("wrong") < share, draw.integers("label", classes), label)
