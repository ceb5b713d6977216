"""What a discriminator that predicts labels or attributes is told (AC-GAN: Odena et al. 2017, arXiv:1610.09585).

heads: [n, conditions.heads], its predictions in the order of the conditions: a logit a class, or for each attribute a
logit a value (categorical), one logit (binary), one number from −1 to 1 (continuous).
label: [n] int64 of classes, or [n, attributes] float32 with the attributes' values.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from gan_core.options.conditions import Attribute, Conditions


def attribute_loss(heads: Tensor, label: Tensor, conditions: Conditions) -> Tensor:
    """How wrong the predictions are, summed over the attributes.  Returns [n].

    Cross entropy of classes and of categorical and binary attributes; of continuous ones the squared error, their
    range from `low` to `high` taken as −1 to 1.
    """
    if conditions.classes:
        return cross_entropy(heads, label, reduction="none")
    return torch.stack([
        _loss(predicted, value, attribute) for predicted, value, attribute in _each(heads, label, conditions)
    ]).sum(0)


def auxiliary_accuracy(heads: Tensor, label: Tensor, conditions: Conditions) -> Tensor | None:
    """Share of each example's classes and attributes that are predicted right, [n] float32; None without such.

    Continuous attributes are left out: they are nearly right or not.
    """
    if conditions.classes:
        return (heads.argmax(1) == label).float()
    right = [
        (predicted.argmax(1) if attribute.kind == "categorical" else predicted.squeeze(1) > 0) == value
        for predicted, value, attribute in _each(heads, label, conditions) if attribute.kind != "continuous"
    ]
    return torch.stack(right).float().mean(0) if right else None


def _each(heads: Tensor, label: Tensor, conditions: Conditions) -> Iterator[tuple[Tensor, Tensor, Attribute]]:
    """Predictions [n, its heads] and values [n] of each attribute."""
    widths = [attribute.heads for attribute in conditions.attributes]
    return zip(heads.split(widths, dim=1), label.unbind(1), conditions.attributes, strict=True)


def _loss(predicted: Tensor, value: Tensor, attribute: Attribute) -> Tensor:
    match attribute.kind:
        case "categorical":
            return cross_entropy(predicted, value.long(), reduction="none")
        case "binary":
            return binary_cross_entropy_with_logits(predicted.squeeze(1), value, reduction="none")
    scaled = 2 * (value - attribute.low) / (attribute.high - attribute.low) - 1
    return (predicted.squeeze(1) - scaled).square()
